import CoreImage
import CoreVideo
import EdgeCore
import Foundation
import ImageIO
import UIKit

private let converter = CIContext(options: [.cacheIntermediates: false])

/// One upright frame of 32-bit BGRA pixels, of the camera or of a photo; nobody writes into it any more.
final class CameraFrame: @unchecked Sendable {
    private let buffer: CVPixelBuffer

    init(_ buffer: CVPixelBuffer) {
        self.buffer = buffer
    }

    var size: SizeHw { SizeHw(height: CVPixelBufferGetHeight(buffer), width: CVPixelBufferGetWidth(buffer)) }

    /// Call a function with the pixels where they lie; throws ContractError for a frame of another format.
    func withPixels<T>(_ body: (Pixels) throws -> T) throws -> T {
        guard CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
            CVPixelBufferLockBaseAddress(buffer, .readOnly) == kCVReturnSuccess
        else { throw ContractError("the frame is not of 32-bit BGRA") }
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        guard let base = CVPixelBufferGetBaseAddress(buffer) else { throw ContractError("the frame has no pixels") }
        let rowBytes = CVPixelBufferGetBytesPerRow(buffer)
        let bytes = UnsafeBufferPointer(
            start: base.assumingMemoryBound(to: UInt8.self), count: rowBytes * size.height
        )
        return try body(
            Pixels(bytes: bytes, width: size.width, height: size.height, rowBytes: rowBytes, layout: .bgra)
        )
    }

    /// Return the frame as a JPEG made of its pixels: it holds no place and no time.
    func jpeg(quality: Double = 0.9) throws -> [UInt8] {
        guard let space = CGColorSpace(name: CGColorSpace.sRGB) else { throw ContractError("there is no sRGB") }
        let option = CIImageRepresentationOption(rawValue: kCGImageDestinationLossyCompressionQuality as String)
        let image = CIImage(cvPixelBuffer: buffer)
        guard let data = converter.jpegRepresentation(of: image, colorSpace: space, options: [option: quality]) else {
            throw ContractError("the frame cannot be written as JPEG")
        }
        return [UInt8](data)
    }

    /// Return the frame as a picture for the screen.
    func image() -> UIImage? {
        let image = CIImage(cvPixelBuffer: buffer)
        return converter.createCGImage(image, from: image.extent).map { UIImage(cgImage: $0) }
    }

    /// Draw a photo upright into a frame; nil where memory is short.
    static func of(_ photo: UIImage) -> CameraFrame? {
        let width = Int(photo.size.width * photo.scale)
        let height = Int(photo.size.height * photo.scale)
        var made: CVPixelBuffer?
        CVPixelBufferCreate(nil, width, height, kCVPixelFormatType_32BGRA, nil, &made)
        guard let buffer = made, CVPixelBufferLockBaseAddress(buffer, []) == kCVReturnSuccess else { return nil }
        defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
        let info = CGImageAlphaInfo.noneSkipFirst.rawValue | CGBitmapInfo.byteOrder32Little.rawValue
        guard
            let context = CGContext(
                data: CVPixelBufferGetBaseAddress(buffer), width: width, height: height, bitsPerComponent: 8,
                bytesPerRow: CVPixelBufferGetBytesPerRow(buffer), space: CGColorSpaceCreateDeviceRGB(),
                bitmapInfo: info
            )
        else { return nil }
        context.translateBy(x: 0, y: CGFloat(height))
        context.scaleBy(x: 1, y: -1)
        UIGraphicsPushContext(context)
        photo.draw(in: CGRect(x: 0, y: 0, width: width, height: height))
        UIGraphicsPopContext()
        return CameraFrame(buffer)
    }
}
