import Foundation

#if canImport(CryptoKit)
import CryptoKit
#endif

/// A SHA-256 that takes bytes piece by piece: CryptoKit's where there is one, else the one of this package.
public struct Digest {
    #if canImport(CryptoKit)
    private var hash = SHA256()
    #else
    private var hash = Sha256()
    #endif

    public init() {}

    /// Take bytes in.
    public mutating func update(_ bytes: Data) {
        #if canImport(CryptoKit)
        hash.update(data: bytes)
        #else
        hash.update(bytes)
        #endif
    }

    /// Return the digest as 64 hexadecimal digits in lower case.
    public func hex() -> String {
        #if canImport(CryptoKit)
        return Digest.hex(Array(hash.finalize()))
        #else
        return Digest.hex(hash.finalized())
        #endif
    }

    static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(2 * bytes.count)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

private let pieceBytes = 1 << 20

/// Return the hex SHA-256 of bytes.
public func digest(_ bytes: Data) -> String {
    var found = Digest()
    found.update(bytes)
    return found.hex()
}

/// Return the hex SHA-256 of a file, read in pieces; throws what the file system throws.
public func digest(file: URL) throws -> String {
    let handle = try FileHandle(forReadingFrom: file)
    defer { try? handle.close() }
    var found = Digest()
    while let piece = try handle.read(upToCount: pieceBytes), !piece.isEmpty {
        found.update(piece)
    }
    return found.hex()
}
