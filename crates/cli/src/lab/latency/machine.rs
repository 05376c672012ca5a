//! Describes the machine of a measurement.
//!
//! In: `/proc/cpuinfo`. Out: a short text. Pure but for reading the file.

use std::{env::consts, thread};

/// The number of cores, their model, the operating system and the architecture.
pub(super) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model(&info).map_or_else(|| "unknown processor".to_owned(), str::to_owned);
    format!("{} of {model}, {} on {}", crate::output::count(cores, "core"), consts::OS, consts::ARCH)
}

/// The model of the processor in `/proc/cpuinfo`, which only some architectures have.
fn model(info: &str) -> Option<&str> {
    let values = info.lines().filter_map(|line| line.split_once(':'));
    let mut models = values.filter(|(name, _)| name.trim() == "model name").map(|(_, model)| model.trim());
    models.find(|model| !model.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_where_there_is_one() {
        let info =
            "processor\t: 0\nvendor_id\t: X\nmodel name\t: Chip 9 @ 3.00GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(model(info), Some("Chip 9 @ 3.00GHz"));
        assert_eq!(model("processor\t: 0\nBogoMIPS\t: 50\n"), None);
        assert_eq!(model(""), None);
    }

    #[test]
    fn a_machine_has_cores_and_a_system() {
        let text = machine();
        assert!(text.contains("core") && text.contains(consts::OS), "{text}");
    }
}
