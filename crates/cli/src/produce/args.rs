//! The arguments of `milena produce`.
//!
//! In: arguments. Out: settings of the producer, what ends a record, and how records are made. Reads the file of settings that is named.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{
    columns::{Columns, Named},
    ends::Ends,
    json::Json,
    layout::{HeaderLayout, Layout, find},
    parser::{Parser, Syntax},
    partitioner::Rule,
    template::{Template, Texts, time},
};
use crate::{
    connection::{ProfileArgs, merged},
    encoding::{self, Encoding},
    exit::CliError,
    output, settings,
};

/// Send each line of a file or of stdin as a record
///
/// A line is bytes; they need not be UTF-8. It ends with \n or \r\n, which is no part of the record; any other \r is. An empty line
/// is a record with an empty value, or with -Z with none. Files that are named without --file are a record each. Lines that fail are
/// kept, byte for byte, in a file that is named at the end, so that they can be sent again with --file.
///
/// With several of --parse-timestamp, --parse-headers and --parse-key a line has them in this order, each before its separator, and
/// then the value, as in kafka-console-producer.sh: `17<tab>h1:v1,h2:v2<tab>key<tab>value`.
///
/// --format json takes what `milena consume --output json` prints: topic, partition, timestamp, key, value and headers go where they
/// were; offsets are not looked at. A key or value that is no text and not null stands for its JSON. Arguments count before the line.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Type some records, end with Ctrl-D:
    milena produce --topic orders
  Send a file with keys, one `key:value` per line:
    milena produce --topic orders --file orders.txt --parse-key --key-separator :
  Records between NUL bytes, those that are empty as null:
    find . -print0 | milena produce --topic files --delimiter '\\0' -Z
  Each file as a record:
    milena produce --topic images one.png two.png
  Copy a topic, with keys, headers and timestamps:
    milena consume --topic orders -o json | milena produce --format json --topic copy
  CSV with a row of names, the column id as key and the others as an object of JSON:
    milena produce --topic orders --format csv --key-column id --file orders.csv
  See what would be sent:
    milena produce --topic orders --parse-key --dry-run < orders.txt
  Larger batches, and nothing printed but the counts:
    milena produce --topic orders -X linger.ms=50 -X batch.size=262144 --output none < big.txt

If a setting is given more than once, --acks, --compression-type and --bootstrap-server override --property, and \
--property overrides --config, and that overrides --profile. Unless it is set, batch.size is 65536.

Exit codes: 0 all delivered, 1 a line failed, 2 arguments or configuration are wrong, 130 interrupted. Ctrl-C \
stops reading, waits for records in flight and reports; a second Ctrl-C stops waiting.")]
pub(crate) struct Args {
    /// Topic to send to; with --format json the default is that of each line
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub(super) topic: String,

    /// Brokers to connect to first, as host:port,host:port [default: localhost:9092]
    #[arg(long, short, value_name = "HOST:PORT", value_parser = settings::servers)]
    bootstrap_server: Option<String>,

    /// Files to send whole, a record each, instead of lines
    #[arg(value_name = "FILES", conflicts_with_all = ["file", "format", "delimiter", "parse_key", "parse_headers", "parse_timestamp"])]
    pub(super) files: Vec<PathBuf>,

    /// File to read lines from instead of stdin
    #[arg(long, short, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,

    /// What the input consists of
    #[arg(long, value_enum, default_value = "lines")]
    format: InputFormat,

    /// What ends a record instead of a line's end; \n, \r, \t, \0, \xNN and \\ are escapes
    #[arg(long, short = 'D', value_name = "TEXT", allow_hyphen_values = true, value_parser = encoding::separator)]
    delimiter: Option<Escaped>,

    /// Split each line into key and value; a line without the separator fails
    #[arg(long)]
    parse_key: bool,

    /// Separator between key and value; escapes as in --delimiter
    #[arg(long, value_name = "TEXT", default_value = "\\t", allow_hyphen_values = true, value_parser = encoding::separator, requires = "parse_key")]
    key_separator: Escaped,

    /// Take headers from the front of each line, as in name:value,name:value
    #[arg(long)]
    parse_headers: bool,

    /// What ends the headers of a line
    #[arg(long, value_name = "TEXT", default_value = "\\t", allow_hyphen_values = true, value_parser = encoding::separator, requires = "parse_headers")]
    headers_delimiter: Escaped,

    /// Separator between headers
    #[arg(long, value_name = "TEXT", default_value = ",", allow_hyphen_values = true, value_parser = encoding::separator, requires = "parse_headers")]
    headers_separator: Escaped,

    /// Separator between a header's name and its value
    #[arg(long, value_name = "TEXT", default_value = ":", allow_hyphen_values = true, value_parser = encoding::separator, requires = "parse_headers")]
    headers_key_separator: Escaped,

    /// Take a timestamp from the front of each line: milliseconds since 1970, or a date as RFC 3339 has it
    #[arg(long)]
    parse_timestamp: bool,

    /// What ends the timestamp of a line
    #[arg(long, value_name = "TEXT", default_value = "\\t", allow_hyphen_values = true, value_parser = encoding::separator, requires = "parse_timestamp")]
    timestamp_separator: Escaped,

    /// Column that is the key
    #[arg(long, value_name = "NAME")]
    key_column: Option<String>,

    /// Column that is the value [default: an object of JSON of all columns that are nothing else]
    #[arg(long, value_name = "NAME")]
    value_column: Option<String>,

    /// Column that is a header of its name; may be repeated
    #[arg(long = "header-column", value_name = "NAME")]
    header_columns: Vec<String>,

    /// Column that is the timestamp
    #[arg(long, value_name = "NAME")]
    timestamp_column: Option<String>,

    /// Column that is the partition
    #[arg(long, value_name = "NAME")]
    partition_column: Option<String>,

    /// How keys are written
    #[arg(long, value_enum, default_value = "text")]
    key_encoding: Encoding,

    /// How values are written
    #[arg(long, value_enum, default_value = "text")]
    value_encoding: Encoding,

    /// Send an empty key or value as null
    #[arg(long, short = 'Z')]
    empty_is_null: bool,

    /// Text that stands for null as key, value or value of a header
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    null_marker: Option<String>,

    /// Key for every record that has none of its own
    #[arg(long, short, value_name = "TEXT", allow_hyphen_values = true)]
    key: Option<String>,

    /// Header for every record; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = settings::name_and_value)]
    headers: Vec<(String, String)>,

    /// Timestamp for every record: milliseconds since 1970, or a date as RFC 3339 has it [default: the time of sending]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timestamp: Option<i64>,

    /// Partition for every record, instead of one chosen by key
    #[arg(long, short, value_name = "NUMBER", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,

    /// How partitions are chosen [default: default, but for the partition that a line of JSON names]
    #[arg(long, value_enum, conflicts_with = "partition")]
    partitioner: Option<Rule>,

    /// Send nothing: read all input, and tell what would be sent where
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Producer setting by its Java name, as in linger.ms=50; may be repeated
    #[arg(long = "property", short = 'X', value_name = "NAME=VALUE", value_parser = settings::name_and_value)]
    properties: Vec<(String, String)>,

    /// File of producer settings in the form of Java's .properties, in UTF-8
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,

    #[command(flatten)]
    profile: ProfileArgs,

    /// Compression of batches: none, gzip, snappy, lz4 or zstd (if it is built in) [default: none]
    #[arg(long, value_name = "TYPE", value_parser = settings::compression)]
    compression_type: Option<String>,

    /// Replicas that must have a record before it is acknowledged: 0, 1 or all [default: all]
    #[arg(long, value_name = "ACKS", value_parser = settings::acks, allow_negative_numbers = true)]
    acks: Option<String>,

    /// What to print on stdout about each line
    #[arg(long, short, value_enum, default_value = "text")]
    pub(super) output: Output,

    /// File for lines that failed [default: milena-failed-TOPIC-TIME-PID.txt in the working directory]
    #[arg(long, value_name = "PATH")]
    failed_file: Option<PathBuf>,

    /// Longest line (or file) in bytes, its end included; a longer one fails and is kept
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(super) max_line_bytes: u32,
}

type Escaped = Vec<u8>;

/// `batch.size` unless it is set. Files are large, and with Java's 16 KiB a quarter of the work for a line would be its batch's.
const BATCH_SIZE: &str = "65536";

/// What an input consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    /// Lines
    Lines,
    /// An object of JSON on each line, as `milena consume --output json` prints it
    Json,
    /// Rows with commas between columns; the first has their names
    Csv,
    /// Rows with tabs between columns; the first has their names
    Tsv,
}

/// The output on stdout for each line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// Partition and offset, as text
    Text,
    /// Partition and offset, or the error, as a JSON object
    Json,
    /// Nothing
    None,
}

impl Output {
    /// The format of the lines; `None` prints none.
    pub(super) fn format(self) -> Option<output::Format> {
        match self {
            Self::Text => Some(output::Format::Text),
            Self::Json => Some(output::Format::Json),
            Self::None => None,
        }
    }
}

impl Args {
    /// Refuses arguments that contradict each other.
    pub(super) fn check(&self) -> Result<(), CliError> {
        let is_json = self.format == InputFormat::Json;
        let is_rows = self.field_delimiter().is_some();
        let parses = self.parse_key || self.parse_headers || self.parse_timestamp;
        let named = self.named();
        let separators = self.layout().separators().into_iter().any(|text| find(text, self.ends().text()).is_some());
        let texts = self.texts() != Texts::default();
        let wrong = match () {
            () if self.topic.is_empty() && !is_json => "--topic is missing; only lines of JSON can name their topics",
            () if parses && (is_json || is_rows) => {
                "--parse-key, --parse-headers and --parse-timestamp are for --format lines"
            }
            () if self.delimiter.is_some() && is_rows => "--delimiter is not for rows, which end with their line",
            () if named != Named::default() && !is_rows => {
                "--key-column and other columns are for --format csv and tsv"
            }
            () if texts && is_json => {
                "--key-encoding, --value-encoding, -Z and --null-marker are not for --format json, which has null and base64"
            }
            () if texts && !self.files.is_empty() => "encodings, -Z and --null-marker are not for whole files",
            () if separators => "a separator within a line cannot hold what ends the line",
            () => return Ok(()),
        };
        Err(CliError::Usage(wrong.into()))
    }

    /// All settings of the producer; a later one overrides an earlier one.
    pub(super) fn settings(&self) -> Result<Vec<(String, String)>, CliError> {
        let flags = [
            ("bootstrap.servers", &self.bootstrap_server),
            ("compression.type", &self.compression_type),
            ("acks", &self.acks),
        ];
        let mut settings = vec![("batch.size".to_owned(), BATCH_SIZE.to_owned())];
        settings.extend(merged(&self.profile, self.config.as_deref(), &self.properties, &flags)?);
        Ok(settings)
    }

    /// What ends a record.
    pub(super) fn ends(&self) -> Ends {
        match (self.field_delimiter(), &self.delimiter) {
            (Some(delimiter), _) => Ends::Row(delimiter),
            (None, Some(text)) => Ends::Text(text.clone()),
            (None, None) => Ends::Line,
        }
    }

    /// How partitions are chosen.
    pub(super) fn rule(&self) -> Rule {
        self.partitioner.unwrap_or_default()
    }

    /// How records are made. `heading` is the first row of an input of rows.
    pub(super) fn parser(&self, heading: &[u8]) -> Result<Parser, CliError> {
        let syntax = match (self.format, self.field_delimiter()) {
            _ if !self.files.is_empty() => Syntax::Value,
            (_, Some(delimiter)) => {
                let columns = Columns::new(delimiter, heading, &self.named(), self.texts());
                Syntax::Rows(columns.map_err(CliError::Usage)?)
            }
            (InputFormat::Json, None) => Syntax::Json(Json { places_anew: self.partitioner.is_some() }),
            (InputFormat::Lines, None) if self.layout() == Layout::default() => Syntax::Value,
            (_, None) => Syntax::Lines(self.layout()),
        };
        let template = Template {
            topic: self.topic.clone(),
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.clone().map(String::into_bytes),
            headers: self.headers.clone(),
        };
        Ok(Parser { template, syntax })
    }

    /// Where lines that fail are kept.
    pub(super) fn failed_path(&self) -> Result<PathBuf, CliError> {
        let Some(path) = self.failed_file.clone() else {
            let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
            // Drops characters that could leave the directory: an invalid topic name is refused only by the first send.
            let topic: String =
                self.topic.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).collect();
            return Ok(format!("milena-failed-{topic:.100}-{time}-{}.txt", std::process::id()).into());
        };
        let same =
            |input: &PathBuf| input.canonicalize().ok().is_some_and(|input| path.canonicalize().ok() == Some(input));
        if self.file.as_ref().is_some_and(same) {
            return Err(CliError::Usage(format!("--failed-file and --file are both {}; name another", path.display())));
        }
        Ok(path)
    }

    /// What stands between the fields of a row, if the input has rows.
    fn field_delimiter(&self) -> Option<u8> {
        match self.format {
            InputFormat::Csv => Some(b','),
            InputFormat::Tsv => Some(b'\t'),
            InputFormat::Lines | InputFormat::Json => None,
        }
    }

    fn layout(&self) -> Layout {
        let headers = HeaderLayout {
            delimiter: self.headers_delimiter.clone(),
            separator: self.headers_separator.clone(),
            name_separator: self.headers_key_separator.clone(),
        };
        Layout {
            timestamp: self.parse_timestamp.then(|| self.timestamp_separator.clone()),
            headers: self.parse_headers.then_some(headers),
            key: self.parse_key.then(|| self.key_separator.clone()),
            texts: self.texts(),
        }
    }

    fn named(&self) -> Named {
        Named {
            key: self.key_column.clone(),
            value: self.value_column.clone(),
            timestamp: self.timestamp_column.clone(),
            partition: self.partition_column.clone(),
            headers: self.header_columns.clone(),
        }
    }

    fn texts(&self) -> Texts {
        Texts {
            key: self.key_encoding,
            value: self.value_encoding,
            null_marker: self.null_marker.clone().map(String::into_bytes),
            empty_is_null: self.empty_is_null,
        }
    }
}
