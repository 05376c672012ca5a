//! Reads the files that settings name.
//!
//! In: [`TlsSettings`]. Out: their texts, whether they stand in a file or in a property. Reads files, and blocks meanwhile. Texts are
//! compared to tell whether a file has changed: they are short, and a file's time can lie.

use std::{fs, sync::Arc};

use super::key::Text;
use crate::config::tls::{Identity, Pem, Place, TlsSettings};

/// The texts of all settings.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Texts {
    trusted: Option<Arc<[u8]>>,
    chain: Option<Arc<[u8]>>,
    key: Option<Arc<[u8]>>,
}

impl Texts {
    /// Reads every file, or says which cannot be read.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, Vec<String>> {
        let mut violations = Vec::new();
        let mut take = |pem: &Pem| read(pem).map_err(|wrong| violations.push(wrong)).ok();
        let trusted = settings.trusted.as_ref().and_then(&mut take);
        let chain = settings.identity.as_ref().and_then(|identity| take(&identity.chain));
        // A file has both, and is read once, so that they belong together also when it is replaced meanwhile.
        let apart = settings.identity.as_ref().filter(|identity| identity.key != identity.chain);
        let key = apart.map_or_else(|| chain.clone(), |identity| take(&identity.key));
        if violations.is_empty() { Ok(Self { trusted, chain, key }) } else { Err(violations) }
    }

    /// The text of the trusted certificates, if they are not the system's.
    pub(super) fn trusted<'a>(&'a self, settings: &TlsSettings) -> Option<Text<'a>> {
        Some(Text { property: settings.trusted.as_ref()?.property, text: self.trusted.as_ref()? })
    }

    /// The texts of the client's certificates and key, if it has them.
    pub(super) fn identity<'a>(&'a self, identity: &Identity) -> Option<(Text<'a>, Text<'a>)> {
        let chain = Text { property: identity.chain.property, text: self.chain.as_ref()? };
        Some((chain, Text { property: identity.key.property, text: self.key.as_ref()? }))
    }
}

/// Whether any setting names a file.
pub(super) fn has_files(settings: &TlsSettings) -> bool {
    let identity = settings.identity.as_ref().map(|identity| &identity.chain);
    settings.trusted.iter().chain(identity).any(|pem| matches!(pem.place, Place::File(_)))
}

fn read(pem: &Pem) -> Result<Arc<[u8]>, String> {
    match &pem.place {
        Place::Inline(text) => Ok(text.reveal().as_bytes().into()),
        Place::File(path) => {
            let text =
                fs::read(path.as_ref()).map_err(|error| format!("{}: cannot read {path}: {error}", pem.property))?;
            Ok(text.into())
        }
    }
}
