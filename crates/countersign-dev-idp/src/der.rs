//! As much DER as a key set needs: to read a public key, to write a certificate around it.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: [u8; 2] = [0x05, 0x00];
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

const RSA_ENCRYPTION: [u8; 11] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
];
const SHA256_WITH_RSA: [u8; 11] = [
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b,
];
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];

/// A certificate (X.509 v1) that names the stand-in and holds `public_key`, an `RSAPublicKey`.
/// `sign` makes an RSA-SHA256 signature; nothing in a key set's `x5c` is checked against a root.
pub(crate) fn certificate(public_key: &[u8], sign: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let body = to_be_signed(public_key);
    let signature = sign(&body);
    sequence(&[&body, &algorithm(&SHA256_WITH_RSA), &bit_string(&signature)])
}

/// Modulus and exponent of an `RSAPublicKey`, without leading zeros.
pub(crate) fn rsa_numbers(public_key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (tag, body, _) = element(public_key)?;
    let (modulus_tag, modulus, rest) = element(body)?;
    let (exponent_tag, exponent, _) = element(rest)?;
    let tags_fit = tag == SEQUENCE && modulus_tag == INTEGER && exponent_tag == INTEGER;
    tags_fit.then(|| (unsigned(modulus), unsigned(exponent)))
}

/// An `RSAPublicKey` of these numbers.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    sequence(&[&integer(modulus), &integer(exponent)])
}

fn to_be_signed(public_key: &[u8]) -> Vec<u8> {
    let serial = crate::entropy::bytes::<8>();
    let name = common_name("countersign-dev-idp");
    let validity = sequence(&[
        &wrap(UTC_TIME, b"240101000000Z"),
        &wrap(UTC_TIME, b"490101000000Z"),
    ]);
    sequence(&[
        &integer(&serial),
        &algorithm(&SHA256_WITH_RSA),
        &name,
        &validity,
        &name,
        &subject_public_key(public_key),
    ])
}

/// A `SubjectPublicKeyInfo` around an `RSAPublicKey`.
fn subject_public_key(public_key: &[u8]) -> Vec<u8> {
    sequence(&[&algorithm(&RSA_ENCRYPTION), &bit_string(public_key)])
}

fn common_name(name: &str) -> Vec<u8> {
    let attribute = sequence(&[&COMMON_NAME, &wrap(UTF8_STRING, name.as_bytes())]);
    sequence(&[&wrap(SET, &attribute)])
}

fn algorithm(identifier: &[u8]) -> Vec<u8> {
    sequence(&[identifier, &NULL])
}

fn bit_string(bits: &[u8]) -> Vec<u8> {
    wrap(BIT_STRING, &[&[0], bits].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let number = unsigned(number);
    let sign: &[u8] = if number.first().is_none_or(|byte| byte & 0x80 != 0) {
        &[0]
    } else {
        &[]
    };
    wrap(INTEGER, &[sign, &number].concat())
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    number
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    wrap(SEQUENCE, &parts.concat())
}

fn wrap(tag: u8, body: &[u8]) -> Vec<u8> {
    let [.., c, b, a] = body.len().to_be_bytes();
    let length = match body.len() {
        0..=0x7f => vec![a],
        0x80..=0xff => vec![0x81, a],
        0x100..=0xffff => vec![0x82, b, a],
        _ => vec![0x83, c, b, a],
    };
    [&[tag], length.as_slice(), body].concat()
}

/// Tag, content and what follows, of the element that `der` starts with.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (size, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = size
            .iter()
            .fold(0, |length, byte| length << 8 | usize::from(*byte));
        (length, rest)
    };
    let (body, rest) = rest.split_at_checked(length)?;
    Some((tag, body, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_read_as_it_was_written() {
        let (modulus, exponent) = (vec![0x80; 256], vec![1, 0, 1]);
        let key = rsa_public_key(&modulus, &exponent);
        assert_eq!(rsa_numbers(&key), Some((modulus, exponent)));
    }

    #[test]
    fn what_is_no_public_key_is_not_read() {
        let key = rsa_public_key(&[0x80; 256], &[1, 0, 1]);
        assert_eq!(rsa_numbers(&key[..key.len() - 1]), None);
        assert_eq!(rsa_numbers(&[]), None);
        assert_eq!(rsa_numbers(&bit_string(&[1, 2])), None);
    }
}
