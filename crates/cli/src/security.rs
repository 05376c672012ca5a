//! How commands that read say who they are: the same settings as those of a producer.
//!
//! In: arguments, a file of settings. Out: a connected admin client. Does I/O.

use std::path::PathBuf;

use milena::{ProducerBuilder, admin::Admin};

use crate::{exit::CliError, properties, settings};

/// What the names of settings of security begin with.
const FAMILIES: [&str; 3] = ["security.", "sasl.", "ssl."];

/// The settings of security that a command which reads takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Security {
    /// Setting of security by its Java name, as in security.protocol=SASL_PLAINTEXT; may be repeated
    #[arg(long = "property", short = 'X', value_name = "NAME=VALUE", value_parser = settings::name_and_value)]
    properties: Vec<(String, String)>,

    /// File of settings in the form of Java's .properties, in UTF-8; those of security count (security., sasl., ssl.)
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

impl Security {
    /// The settings of security; a later one overrides an earlier one.
    ///
    /// # Errors
    /// A file that cannot be read, or settings that a producer would refuse.
    pub(crate) fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        let mut settings = Vec::new();
        if let Some(path) = &self.config {
            settings.extend(properties::load(path).map_err(CliError::Usage)?);
        }
        if let Some((name, _)) = self.properties.iter().find(|(name, _)| !is_of_security(name)) {
            let text = format!(
                "{name}: expected a setting of security ({}), because this command sends nothing",
                FAMILIES.join(", ")
            );
            return Err(CliError::Usage(text));
        }
        settings.extend(self.properties.iter().cloned());
        settings.retain(|(name, _)| is_of_security(name));
        ProducerBuilder::new("localhost:9092").properties(settings.iter().cloned()).effective_properties()?;
        Ok(settings)
    }

    /// Connects to the first of these servers that responds.
    pub(crate) async fn connect(&self, bootstrap: &str) -> Result<Admin, CliError> {
        Ok(Admin::connect_with(bootstrap, self.settings()?).await?)
    }
}

fn is_of_security(name: &str) -> bool {
    FAMILIES.iter().any(|family| name.trim().starts_with(family))
}
