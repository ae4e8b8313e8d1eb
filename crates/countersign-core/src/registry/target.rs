//! What a request asks for, as it came on the wire: read once, never decoded twice.
//!
//! Whoever stands in front of a server must read a path as that server will, and there are many servers. So
//! whatever could be read in two ways is refused: dot segments, empty ones, escapes of what needs none.

use thiserror::Error;

/// The longest target, in bytes.
const LONGEST: usize = 8 * 1024;

/// How paths are written at a kind of registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Writing {
    /// `%2F` stands within a name, as in npm's scopes.
    pub(super) encoded_slash: bool,
}

/// The target of a request, in origin form (RFC 9112 3.2.1), that can be read in one way only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    segments: Vec<String>,
    query: Option<&'a str>,
}

/// A request that two servers could read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ambiguous {
    /// No method in capital letters, or one that is let through nowhere.
    #[error("the method is not one that is let through")]
    Method,
    /// A header by which a server behind takes it for another request, or for somebody else's.
    #[error("one of its headers makes something else of it")]
    Header,
    /// Another form than `/path?query`.
    #[error("the target is no path")]
    NotAPath,
    /// More than 8 KiB.
    #[error("the target is too long")]
    TooLong,
    /// A character that RFC 3986 3.3 has in no path, or `;`, which some servers cut a path at.
    #[error("the path has a character that stands in none")]
    Character,
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the path has an escape that can't be read")]
    Escape,
    /// What could stand as it is (RFC 3986 6.2.2.2), or would be read again.
    #[error("the path has an escape that hides something")]
    HiddenBehindEscape,
    /// `%2F` where no name has a slash.
    #[error("the path has an escaped slash")]
    EscapedSlash,
    /// `.` or `..`.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path has an empty segment")]
    EmptySegment,
}

impl<'a> Target<'a> {
    /// Reads a target as it came.
    pub(super) fn parse(raw: &'a str, writing: Writing) -> Result<Self, Ambiguous> {
        if raw.len() > LONGEST {
            return Err(Ambiguous::TooLong);
        }
        let (path, query) = match raw.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (raw, None),
        };
        let path = path.strip_prefix('/').ok_or(Ambiguous::NotAPath)?;
        let is_visible = |query: &str| query.bytes().all(|byte| byte.is_ascii_graphic());
        if raw.contains('#') || !query.is_none_or(is_visible) {
            return Err(Ambiguous::Character);
        }
        let mut segments: Vec<String> = path
            .split('/')
            .map(|segment| decode(segment, writing))
            .collect::<Result<_, _>>()?;
        // A slash at the end is a way to write a path; one within it is none.
        let (last, before) = segments.split_last_mut().ok_or(Ambiguous::NotAPath)?;
        if before.iter().any(String::is_empty) {
            return Err(Ambiguous::EmptySegment);
        }
        let is_dotted =
            |segment: &String| segment.split('/').any(|part| matches!(part, "." | ".."));
        if is_dotted(last) || before.iter().any(is_dotted) {
            return Err(Ambiguous::DotSegment);
        }
        Ok(Self { segments, query })
    }

    /// The segments of the path, decoded; an empty one at the end where the path ends with a slash.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The query as it came, without its question mark.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }
}

/// The one decoding there is.
fn decode(segment: &str, writing: Writing) -> Result<String, Ambiguous> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let escaped = [bytes.next(), bytes.next()];
                let [Some(high), Some(low)] = escaped.map(|digit| digit.and_then(hex)) else {
                    return Err(Ambiguous::Escape);
                };
                decoded.push(unhidden(high << 4 | low, writing)?);
            }
            _ if stands_in_a_path(byte) => decoded.push(byte),
            _ => return Err(Ambiguous::Character),
        }
    }
    let decoded = String::from_utf8(decoded).map_err(|_| Ambiguous::Escape)?;
    // A slash within a name is that of a scope: `@scope/name`, and nothing else.
    if let Some((scope, name)) = decoded.split_once('/') {
        if !scope.starts_with('@') || name.contains('/') {
            return Err(Ambiguous::EscapedSlash);
        }
        if scope.len() == 1 || name.is_empty() {
            return Err(Ambiguous::EmptySegment);
        }
    }
    Ok(decoded)
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// An escaped byte, where its escape hides nothing.
fn unhidden(byte: u8, writing: Writing) -> Result<u8, Ambiguous> {
    match byte {
        b'/' if writing.encoded_slash => Ok(byte),
        b'/' => Err(Ambiguous::EscapedSlash),
        // What ends a path or a name for some server, or would be decoded again.
        0..=0x1f | 0x7f | b'%' | b'\\' | b';' | b'?' | b'#' => Err(Ambiguous::HiddenBehindEscape),
        _ if is_unreserved(byte) => Err(Ambiguous::HiddenBehindEscape),
        _ => Ok(byte),
    }
}

/// RFC 3986 2.3.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 3.3, `pchar`; but `;`.
fn stands_in_a_path(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,=:@".contains(&byte)
}
