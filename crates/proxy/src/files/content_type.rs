//! What a file is, by the end of its name. Browsers are told not to guess, so what is not known here
//! is offered as a download.

/// A type of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentType {
    /// The value of `Content-Type`.
    pub(crate) name: &'static str,
    /// It becomes much smaller when it is compressed: others are compressed in themselves.
    pub(crate) is_compressible: bool,
}

const fn text(name: &'static str) -> ContentType {
    ContentType {
        name,
        is_compressible: true,
    }
}

const fn binary(name: &'static str) -> ContentType {
    ContentType {
        name,
        is_compressible: false,
    }
}

const UNKNOWN: ContentType = binary("application/octet-stream");

/// Ends of names in lower case, sorted.
const TYPES: [(&str, ContentType); 48] = [
    ("aac", binary("audio/aac")),
    ("atom", text("application/atom+xml")),
    ("avif", binary("image/avif")),
    ("bmp", text("image/bmp")),
    ("css", text("text/css; charset=utf-8")),
    ("csv", text("text/csv; charset=utf-8")),
    ("flac", binary("audio/flac")),
    ("gif", binary("image/gif")),
    ("gz", binary("application/gzip")),
    ("htm", text("text/html; charset=utf-8")),
    ("html", text("text/html; charset=utf-8")),
    ("ico", text("image/x-icon")),
    ("ics", text("text/calendar; charset=utf-8")),
    ("jpeg", binary("image/jpeg")),
    ("jpg", binary("image/jpeg")),
    ("js", text("text/javascript; charset=utf-8")),
    ("json", text("application/json")),
    ("jsonld", text("application/ld+json")),
    ("m4a", binary("audio/mp4")),
    ("map", text("application/json")),
    ("md", text("text/markdown; charset=utf-8")),
    ("mjs", text("text/javascript; charset=utf-8")),
    ("mp3", binary("audio/mpeg")),
    ("mp4", binary("video/mp4")),
    ("oga", binary("audio/ogg")),
    ("ogg", binary("audio/ogg")),
    ("ogv", binary("video/ogg")),
    ("opus", binary("audio/ogg")),
    ("otf", text("font/otf")),
    ("pdf", binary("application/pdf")),
    ("png", binary("image/png")),
    ("rss", text("application/rss+xml")),
    ("svg", text("image/svg+xml")),
    ("tar", text("application/x-tar")),
    ("ttf", text("font/ttf")),
    ("txt", text("text/plain; charset=utf-8")),
    ("vtt", text("text/vtt; charset=utf-8")),
    ("wasm", text("application/wasm")),
    ("wav", binary("audio/wav")),
    ("webm", binary("video/webm")),
    ("webmanifest", text("application/manifest+json")),
    ("webp", binary("image/webp")),
    ("woff", binary("font/woff")),
    ("woff2", binary("font/woff2")),
    ("xhtml", text("application/xhtml+xml")),
    ("xml", text("application/xml")),
    ("zip", binary("application/zip")),
    ("zst", binary("application/zstd")),
];

/// What the file of this path is.
pub(crate) fn of(path: &[u8]) -> ContentType {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let Some(dot) = memchr::memrchr(b'.', name) else {
        return UNKNOWN;
    };
    let end = String::from_utf8_lossy(&name[dot + 1..]).to_ascii_lowercase();
    let found = TYPES.binary_search_by(|(known, _)| (*known).cmp(&end));
    found.map_or(UNKNOWN, |index| TYPES[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_follows_from_the_end_of_the_name() {
        assert!(TYPES.is_sorted_by(|(one, _), (other, _)| one < other));
        for (path, name) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.b/c.JS", "text/javascript; charset=utf-8"),
            ("a.css/readme", "application/octet-stream"),
            ("x.unknown", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(of(path.as_bytes()).name, name, "{path}");
        }
        assert!(of(b"a.svg").is_compressible && !of(b"a.png").is_compressible);
    }
}
