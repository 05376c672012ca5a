//! Chooses the cryptography: AWS-LC's if it is built in, else ring's, else graviola's.
//!
//! In: the names of cipher suites, or none for all. Out: a provider for rustls, or why there is none. Deliberately absent: rustls's
//! process-wide default.

use rustls::{SupportedCipherSuite, crypto::CryptoProvider};

/// The provider with only the named suites; all of them if none is named.
pub(super) fn choose(suites: &[String]) -> Result<CryptoProvider, String> {
    let mut provider = built_in()?;
    if suites.is_empty() {
        return Ok(provider);
    }
    let known: Vec<_> = provider.cipher_suites.iter().map(name).collect();
    if let Some(unknown) = suites.iter().find(|suite| !known.contains(suite)) {
        return Err(format!("ssl.cipher.suites: expected some of {}, got {unknown:?}", known.join(",")));
    }
    provider.cipher_suites.retain(|suite| suites.contains(&name(suite)));
    Ok(provider)
}

/// The standard name, which is Java's. rustls has a prefix of its own for suites of TLS 1.3.
pub(super) fn name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
}

#[cfg(feature = "tls-aws-lc")]
fn built_in() -> Result<CryptoProvider, String> {
    Ok(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(all(feature = "tls-ring", not(feature = "tls-aws-lc")))]
fn built_in() -> Result<CryptoProvider, String> {
    Ok(rustls::crypto::ring::default_provider())
}

#[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
fn built_in() -> Result<CryptoProvider, String> {
    graviola()
}

/// graviola panics on a processor that lacks what it needs, so the processor is asked first.
#[cfg(any(test, not(any(feature = "tls-ring", feature = "tls-aws-lc"))))]
fn graviola() -> Result<CryptoProvider, String> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if ::graviola::util::is_cpu_supported() {
        return Ok(rustls_graviola::default_provider());
    }
    Err(unsupported())
}

#[cfg(any(test, not(any(feature = "tls-ring", feature = "tls-aws-lc"))))]
fn unsupported() -> String {
    "security.protocol: this processor lacks instructions that TLS needs in this build (x86-64: AES, AVX2, ADX; AArch64: AES, SHA2): \
     build milena with the feature `tls-ring`"
        .to_owned()
}

/// Every provider of this build, with its name.
#[cfg(test)]
pub(super) fn all() -> Vec<(&'static str, CryptoProvider)> {
    vec![
        ("graviola", graviola().unwrap()),
        #[cfg(feature = "tls-ring")]
        ("ring", rustls::crypto::ring::default_provider()),
        #[cfg(feature = "tls-aws-lc")]
        ("aws-lc", rustls::crypto::aws_lc_rs::default_provider()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_chosen_by_their_standard_names() {
        let wanted = ["TLS_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"].map(str::to_owned);
        let mut names: Vec<_> = choose(&wanted).unwrap().cipher_suites.iter().map(name).collect();
        names.sort();
        assert_eq!(names, wanted);
        assert!(choose(&[]).unwrap().cipher_suites.len() >= 9);
    }

    #[test]
    fn a_suite_that_there_is_not_is_refused_with_those_that_there_are() {
        let violation = choose(&["TLS_RSA_WITH_AES_128_CBC_SHA".to_owned()]).unwrap_err();
        assert!(violation.starts_with("ssl.cipher.suites: expected some of TLS_"), "{violation}");
        assert!(
            violation.contains("TLS_AES_128_GCM_SHA256") && violation.ends_with("got \"TLS_RSA_WITH_AES_128_CBC_SHA\"")
        );
    }

    #[test]
    fn a_processor_that_graviola_cannot_use_is_told_which_feature_helps() {
        assert!(unsupported().starts_with("security.protocol: ") && unsupported().ends_with("the feature `tls-ring`"));
    }

    #[test]
    fn the_process_wide_default_is_left_alone() {
        choose(&[]).unwrap();
        assert!(CryptoProvider::get_default().is_none());
    }
}
