import Pictures

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Small files written by Pillow 13, in base64: an independent reference for the codecs.
///
/// Sample (x, y, c) of the PNGs is (37 x + 59 y + 101 c + 7 x y) mod 256.
package enum PillowFiles {
  package static func sample(_ x: Int, _ y: Int, _ c: Int) -> UInt8 {
    UInt8((37 * x + 59 * y + 101 * c + 7 * x * y) % 256)
  }

  static func decode(_ text: String) -> [UInt8] {
    Array(Data(base64Encoded: String(text.filter { !$0.isWhitespace })) ?? Data())
  }

  /// grey png
  package static let grey = decode(
    """
    iVBORw0KGgoAAAANSUhEUgAAAAUAAAADCAAAAAB+XZokAAAAGklEQVR4nGNkUFVVVWW01tHR0WGxNjY2NgYAFDACjQPmx5kAAAAASUVORK5CYI
    I=
    """)
  /// 1bit png
  package static let oneBit = decode(
    """
    iVBORw0KGgoAAAANSUhEUgAAAAUAAAADAQAAAABzTfhVAAAADklEQVR4nGPgYDJg0gAAAPIAZRY/5UEAAAAASUVORK5CYII=
    """)
  /// pal png
  package static let palette = decode(
    """
    iVBORw0KGgoAAAANSUhEUgAAAAUAAAADAgMAAAAmWC1rAAAADFBMVEXBwcF9fX1MTEwRERGiYnaRAAAAEUlEQVR4nGP46cAwhYHR2RYADTsCT+
    hMv84AAAAASUVORK5CYII=
    """)
  /// 16 png
  package static let sixteen = decode(
    """
    iVBORw0KGgoAAAANSUhEUgAAAAMAAAACEAAAAADoj+WFAAAAFklEQVR4nGNkYFBVVVVltLbW0dHRAQAJ4gG90BaE6QAAAABJRU5ErkJggg==
    """)
  /// rgba
  package static let rgba = decode(
    """
    iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAYAAACddGYaAAAAHElEQVR4nGNkSD2lrwoFLNbW1tY6Ojo6OjqeOgBEZAT1kF1xzwAAAABJRU5Erk
    Jggg==
    """)
  /// la
  package static let greyAlpha = decode(
    """
    iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAQAAAA3fa6RAAAAFklEQVR4nGNkSFVVVVVlsbbW0dHRAQAOswIl01w9wgAAAABJRU5ErkJggg==
    """)
  /// cmyk
  package static let cmyk = decode(
    """
    /9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoKCgYICwwLCg
    wJCgoK/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQEC
    AwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dX
    Z3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4E
    QwBNAFkASwAAPwD91K/Nuv2Er9XK/9k=
    """)
  /// exif6
  package static let exif6 = decode(
    """
    /9j/4AAQSkZJRgABAQAAAQABAAD/4QAiRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAD/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQ
    oHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIUFRT/wAALCAAIABABAREA/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQF
    BgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3OD
    k6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW
    19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/9oACAEBAAA/APzfr+jCv//Z
    """)
  /// prog
  package static let progressive = decode(
    """
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0Hyc5PT
    gyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjL/wgARCAAQ
    ABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAUAQEAAAAAAAAAAAAAAAAAAAAF/9oADAMBAAIQAxAAAAGQYx//xAAUEAEAAA
    AAAAAAAAAAAAAAAAAg/9oACAEBAAEFAh//xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAEDAQE/AX//xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oA
    CAECAQE/AX//xAAUEAEAAAAAAAAAAAAAAAAAAAAg/9oACAEBAAY/Ah//xAAUEAEAAAAAAAAAAAAAAAAAAAAg/9oACAEBAAE/IR//2gAMAwEAAg
    ADAAAAEAv/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAEDAQE/EH//xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oACAECAQE/EH//xAAUEAEAAAAA
    AAAAAAAAAAAAAAAg/9oACAEBAAE/EB//2Q==
    """)
}

/// (37 x + 59 y + 101 c + 7 x y) mod 256
package func pattern(width: Int, height: Int, channels: Int) -> Image8 {
  var image = Image8(width: width, height: height, channels: channels)
  for y in 0..<height {
    for x in 0..<width { for c in 0..<channels { image[x, y, c] = PillowFiles.sample(x, y, c) } }
  }
  return image
}

/// The CRC-32 of PNG and zlib, bit by bit.
package func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  var crc: UInt32 = 0xFFFF_FFFF
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
  }
  return ~crc
}

/// Where to put pictures to look at; nowhere, usually.
package enum PictureFolder {
  package static let url = ProcessInfo.processInfo.environment["DDPM_PICTURES"].map { URL(filePath: $0) }
}
