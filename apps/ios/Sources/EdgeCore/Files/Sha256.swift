import Foundation

/// SHA-256 of FIPS 180-4, for systems without CryptoKit.
struct Sha256: Sendable {
    private var state: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var block: [UInt8] = []  // what does not fill 64 bytes yet
    private var length = 0  // in bytes

    mutating func update(_ bytes: Data) {
        length += bytes.count
        block.append(contentsOf: bytes)
        var begin = 0
        while block.count - begin >= 64 {
            compress(from: begin)
            begin += 64
        }
        block.removeFirst(begin)
    }

    /// Return the 32 bytes of the digest.
    func finalized() -> [UInt8] {
        var last = self
        let bits = UInt64(length) &* 8
        last.block.append(0x80)
        while last.block.count % 64 != 56 {
            last.block.append(0)
        }
        for shift in stride(from: 56, through: 0, by: -8) {
            last.block.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
        for begin in stride(from: 0, to: last.block.count, by: 64) {
            last.compress(from: begin)
        }
        return last.state.flatMap { word in
            [UInt8(word >> 24), UInt8(word >> 16 & 0xff), UInt8(word >> 8 & 0xff), UInt8(word & 0xff)]
        }
    }

    private mutating func compress(from begin: Int) {
        var words = [UInt32](repeating: 0, count: 64)
        for index in 0..<16 {
            let at = begin + 4 * index
            let upper = UInt32(block[at]) << 24 | UInt32(block[at + 1]) << 16
            let lower = UInt32(block[at + 2]) << 8 | UInt32(block[at + 3])
            words[index] = upper | lower
        }
        for index in 16..<64 {
            let early = words[index - 15]
            let late = words[index - 2]
            let first = turned(early, 7) ^ turned(early, 18) ^ (early >> 3)
            let second = turned(late, 17) ^ turned(late, 19) ^ (late >> 10)
            words[index] = words[index - 16] &+ first &+ words[index - 7] &+ second
        }
        mix(words)
    }

    private mutating func mix(_ words: [UInt32]) {
        var a = state[0], b = state[1], c = state[2], d = state[3]
        var e = state[4], f = state[5], g = state[6], h = state[7]
        for index in 0..<64 {
            let sumE = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)
            let choice = (e & f) ^ (~e & g)
            let first = h &+ sumE &+ choice &+ roundConstants[index] &+ words[index]
            let sumA = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)
            let majority = (a & b) ^ (a & c) ^ (b & c)
            let second = sumA &+ majority
            h = g
            g = f
            f = e
            e = d &+ first
            d = c
            c = b
            b = a
            a = first &+ second
        }
        let mixed = [a, b, c, d, e, f, g, h]
        for index in 0..<8 {
            state[index] = state[index] &+ mixed[index]
        }
    }

    private func turned(_ word: UInt32, _ bits: UInt32) -> UInt32 { (word >> bits) | (word << (32 - bits)) }
}

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes: FIPS 180-4, 4.2.2.
private let roundConstants: [UInt32] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
]
