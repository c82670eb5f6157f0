private let mostBits = 24

/// Return token ids as ⌈count · bits / 8⌉ bytes: the bits of all ids follow each other, the highest of each first.
///
/// Bytes are filled from their highest bit; zeros fill the last one. 128 ids of 12 bits are 192 bytes. Throws
/// ContractError for ids outside 0…2^bits − 1 and for bits outside 1…24.
public func packCodes(_ codes: [Int], bits: Int = 12) throws -> [UInt8] {
    try checkBits(bits)
    if let strange = codes.first(where: { $0 < 0 || $0 >> bits != 0 }) {
        throw ContractError("the id \(strange); in \(bits) bits ids go from 0 to \((1 << bits) - 1)")
    }
    var packed: [UInt8] = []
    packed.reserveCapacity((codes.count * bits + 7) / 8)
    var held = 0
    var count = 0
    for code in codes {
        held = held << bits | code
        count += bits
        while count >= 8 {
            count -= 8
            packed.append(UInt8(held >> count & 0xff))
        }
        held &= (1 << count) - 1
    }
    if count > 0 {
        packed.append(UInt8(held << (8 - count)))
    }
    return packed
}

/// Return `count` ids of packed bytes; throws ContractError for another length or a fill that is not zero.
public func unpackCodes(_ data: [UInt8], count: Int, bits: Int = 12) throws -> [Int] {
    try checkBits(bits)
    let (needed, overflows) = count.multipliedReportingOverflow(by: bits)
    guard count >= 0, !overflows, data.count == needed / 8 + (needed % 8 == 0 ? 0 : 1) else {
        throw ContractError("\(data.count) bytes do not hold \(count) ids of \(bits) bits")
    }
    var codes: [Int] = []
    codes.reserveCapacity(count)
    var held = 0
    var have = 0
    var bytes = data.makeIterator()
    for _ in 0..<count {
        while have < bits, let byte = bytes.next() {
            held = held << 8 | Int(byte)
            have += 8
        }
        have -= bits
        codes.append(held >> have)
        held &= (1 << have) - 1
    }
    guard held == 0 else { throw ContractError("the last byte is filled with ones; expected zeros after \(count) ids") }
    return codes
}

private func checkBits(_ bits: Int) throws {
    guard (1...mostBits).contains(bits) else { throw ContractError("\(bits) bits an id; expected 1 to \(mostBits)") }
}
