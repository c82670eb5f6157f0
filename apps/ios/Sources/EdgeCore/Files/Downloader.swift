import Foundation

/// Report a download that did not end in the file that the manifest names; `canResume` where its part is kept.
public struct DownloadError: Error, Equatable, CustomStringConvertible {
    public let description: String
    public let canResume: Bool

    init(_ description: String, canResume: Bool = false) {
        self.description = description
        self.canResume = canResume
    }
}

/// Fetch files of an artifact: resumed where the server agrees, checked by size and SHA-256, put in place at once.
///
/// What arrives goes into NAME.part beside the file. A part is continued only on 206 with exactly the range that was
/// asked for; 200 begins anew. More bytes than the manifest states are never written.
public struct Downloader: Sendable {
    private let http: any Http

    public init(http: any Http) {
        self.http = http
    }

    /// Return the file's place in `folder`, fetched unless it is there with its size and digest.
    ///
    /// `progress` is told how many bytes are there. Throws DownloadError, and what `http` and the file system throw;
    /// the file that was there before stays until another is complete and checked.
    public func fetch(
        _ entry: FileEntry,
        from url: URL,
        into folder: URL,
        progress: @Sendable (Int) -> Void = { _ in }
    ) async throws -> URL {
        let place = folder.appendingPathComponent(entry.name)
        if isComplete(place, entry) { return place }
        try FileManager.default.createDirectory(
            at: place.deletingLastPathComponent(), withIntermediateDirectories: true
        )
        let part = place.appendingPathExtension("part")
        if sizeBytes(part) > entry.bytes { try FileManager.default.removeItem(at: part) }
        if sizeBytes(part) < entry.bytes || !FileManager.default.fileExists(atPath: part.path) {
            try await receive(entry, from: url, into: part, progress: progress)
        }
        try check(part, entry)
        try replace(place, with: part)
        return place
    }

    private func receive(
        _ entry: FileEntry, from url: URL, into part: URL, progress: @Sendable (Int) -> Void
    ) async throws {
        let offset = sizeBytes(part)
        let headers = offset > 0 ? ["Range": "bytes=\(offset)-"] : [:]
        let answer = try await http.get(url, headers: headers)
        let begin = try start(answer.head, entry, offset: offset, part: part)
        try checkLength(answer.head, expected: entry.bytes - begin, entry)
        let handle = try opened(part, at: begin)
        defer { try? handle.close() }
        var written = begin
        for try await piece in answer.pieces {
            guard written + piece.count <= entry.bytes else {
                try? FileManager.default.removeItem(at: part)
                throw DownloadError(
                    "\(entry.name): the server sends more than the \(entry.bytes) bytes of the manifest"
                )
            }
            try handle.write(contentsOf: piece)
            written += piece.count
            progress(written)
        }
        try handle.synchronize()
        guard written == entry.bytes else {
            throw DownloadError(
                "\(entry.name): the download ended after \(written) of \(entry.bytes) bytes; try again to go on",
                canResume: true
            )
        }
    }

    /// Return at which byte the body begins; throws DownloadError for an answer that is not the file.
    private func start(_ head: HttpHead, _ entry: FileEntry, offset: Int, part: URL) throws -> Int {
        switch head.status {
        case 200:
            return 0
        case 206 where offset > 0:
            let expected = "bytes \(offset)-\(entry.bytes - 1)/\(entry.bytes)"
            guard head.headers["content-range"] == expected else {
                throw DownloadError(
                    "\(entry.name): the server answers with \(head.headers["content-range"] ?? "no range"), "
                        + "\(expected) was expected"
                )
            }
            return offset
        case 416:
            try? FileManager.default.removeItem(at: part)
            throw DownloadError("\(entry.name): the server has not so many bytes; try again from the beginning")
        default:
            throw DownloadError("\(entry.name): the server answered \(head.status)", canResume: offset > 0)
        }
    }

    private func checkLength(_ head: HttpHead, expected: Int, _ entry: FileEntry) throws {
        guard let stated = head.headers["content-length"] else { return }
        guard Int(stated) == expected else {
            throw DownloadError("\(entry.name): the server announces \(stated) bytes, \(expected) were expected")
        }
    }

    private func opened(_ part: URL, at begin: Int) throws -> FileHandle {
        if !FileManager.default.fileExists(atPath: part.path) {
            try Data().write(to: part)
        }
        let handle = try FileHandle(forWritingTo: part)
        try handle.truncate(atOffset: UInt64(begin))
        try handle.seek(toOffset: UInt64(begin))
        return handle
    }

    private func check(_ part: URL, _ entry: FileEntry) throws {
        guard try digest(file: part) == entry.sha256 else {
            try? FileManager.default.removeItem(at: part)
            throw DownloadError("\(entry.name): what was downloaded is not the file of the manifest (SHA-256 differs)")
        }
    }
}

/// Say whether a file is there with its size and digest.
public func isComplete(_ place: URL, _ entry: FileEntry) -> Bool {
    guard sizeBytes(place) == entry.bytes, let found = try? digest(file: place) else { return false }
    return found == entry.sha256
}

/// Throw ManifestError naming the first file of an artifact's folder that is missing or was changed.
public func checkFiles(_ manifest: Manifest, in folder: URL) throws {
    for entry in manifest.files where !isComplete(folder.appendingPathComponent(entry.name), entry) {
        throw ManifestError("\(entry.name) is missing or was changed after it was made; download it again")
    }
}

/// Return a file's size, 0 where there is none.
private func sizeBytes(_ place: URL) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(atPath: place.path)
    return (attributes?[.size] as? NSNumber)?.intValue ?? 0
}

/// Put a file in another's place in one step: rename(2) leaves the old one or the new one, never neither.
private func replace(_ place: URL, with part: URL) throws {
    guard rename(part.path, place.path) == 0 else {
        throw DownloadError("\(place.lastPathComponent) cannot be put in place (error \(errno)); free some space")
    }
}
