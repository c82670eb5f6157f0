import Foundation

private let maskWise = "mask-wise"
private let known: Set<String> = [
    "things", "pixel_confidence", "thing_confidence", "stuff_confidence", "least_visible", "class_weight",
    "mask_weight",
]

/// The settings of the decoder `mask-wise`; classes below `things` are things, confidences and weights as in the
/// papers.
struct MaskWiseRule: Sendable {
    let things: Int
    let pixelConfidence: Float
    let leastVisible: Double
    let classWeight: Double
    let maskWeight: Double
    private let thingConfidence: Double
    private let stuffConfidence: Double

    init(_ contract: Contract) throws {
        guard let rule = contract.postprocess, rule.decoder == maskWise else {
            throw ContractError("panoptic has no decoder '\(contract.postprocess?.decoder ?? "")'; it has \(maskWise)")
        }
        if let strange = rule.settings.keys.sorted().first(where: { !known.contains($0) }) {
            throw ContractError("postprocess.settings of \(maskWise) has no \(strange)")
        }
        let stated = try rule.number("things", default: -1)
        guard stated >= 0, stated <= Double(contract.labels.count), stated == stated.rounded() else {
            throw ContractError(
                "postprocess.settings.things is \(stated); it counts the first of the contract's "
                    + "\(contract.labels.count) labels that are things"
            )
        }
        things = Int(stated)
        pixelConfidence = Float(try rule.number("pixel_confidence", default: 0.4))
        leastVisible = try rule.number("least_visible", default: 0.8)
        classWeight = try rule.number("class_weight", default: 1)
        maskWeight = try rule.number("mask_weight", default: 1)
        thingConfidence = try rule.number("thing_confidence", default: 0.7)
        stuffConfidence = try rule.number("stuff_confidence", default: 0.5)
    }

    func isThing(_ category: Int) -> Bool { category < things }

    /// Say whether a query's class is sure enough to count.
    func counts(_ category: Int, _ share: Double) -> Bool {
        share > (isThing(category) ? thingConfidence : stuffConfidence)
    }
}

/// The pixels of a confident query, as positions in the flattened picture, and the confidence of class and mask.
struct QueryMask: Sendable {
    let query: Int
    let category: Int
    let share: Double
    var pixels: [Int32] = []
    var sum = 0.0

    init(query: Int, category: Int, share: Double) {
        self.query = query
        self.category = category
        self.share = share
    }

    func score(_ rule: MaskWiseRule) -> Double {
        pow(share, rule.classWeight) * pow(sum / Double(max(pixels.count, 1)), rule.maskWeight)
    }
}

/// A mask that got a number of its own.
struct KeptMask: Sendable {
    let category: Int
    let score: Double
}

/// Give pixels to masks in the order of their confidence, numbers from 1, and return the masks that got one.
///
/// One of whose mask too little is left is dropped; regions of one kind of stuff share a number. Source: the mask-wise
/// merging of Yu et al., k-means Mask Transformer (ECCV 2022).
func giveAway(_ masks: [QueryMask], _ rule: MaskWiseRule, _ ids: inout [UInt16]) -> [KeptMask] {
    let scored = masks.enumerated().map { (order: $0.offset, mask: $0.element, score: $0.element.score(rule)) }
    let ordered = scored.sorted { $0.score > $1.score || ($0.score == $1.score && $0.order < $1.order) }
    var stuff: [Int: Int] = [:]
    var kept: [KeptMask] = []
    for (_, mask, score) in ordered {
        let free = mask.pixels.filter { ids[Int($0)] == 0 }
        guard Double(free.count) > Double(mask.pixels.count) * rule.leastVisible else { continue }
        let number = stuff[mask.category] ?? kept.count + 1
        guard let id = UInt16(exactly: number) else { break }
        for pixel in free {
            ids[Int(pixel)] = id
        }
        if number > kept.count {
            kept.append(KeptMask(category: mask.category, score: score))
            if !rule.isThing(mask.category) { stuff[mask.category] = number }
        }
    }
    return kept
}
