//! The trace of a request (W3C Trace Context), which goes on in the headers of its record.
//!
//! In: the value of `traceparent`. Out: whether it has the form that the recommendation gives it. Pure. A value that has another form is
//! left out, as the recommendation asks.

/// The name of the header, in HTTP and in Kafka.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Whether it is a version, a trace id, a parent id and flags, as in `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`.
pub(crate) fn is_traceparent(value: &[u8]) -> bool {
    const LENGTHS: [usize; 4] = [2, 32, 16, 2];
    let parts = || value.split(|&byte| byte == b'-');
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = |(part, len): (&[u8], usize)| part.len() == len && part.iter().all(is_hex);
    let is_zero = |part: &[u8]| part.iter().all(|&byte| byte == b'0');
    parts().count() == LENGTHS.len()
        && parts().zip(LENGTHS).all(fits)
        && !value.starts_with(b"ff")
        && !parts().skip(1).take(2).any(is_zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_s_parent_has_four_parts_of_lower_case_hexadecimal_digits() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good.as_bytes()));
        for bad in [
            String::new(),
            good.to_uppercase(),
            good.replacen("00", "ff", 1),
            good.replace("b7ad6b7169203331", "0000000000000000"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            format!("{good}-00"),
            good[1..].to_owned(),
            good.replace("b7", "\n7"),
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad:?}");
        }
    }
}
