//! The four requests that a producer needs, in every version that one of the measured clients may choose.
//!
//! In: one request, read from its socket. Out: its response, or none (`acks=0`).

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    input::{Input, broken},
    log::{HEADER_LEN, Logs, id_of, number_of},
    output::Output,
};

const NODE: i32 = 1;
const NO_AUTHORIZED_OPERATIONS: i32 = i32::MIN;
const UNSUPPORTED_VERSION: i16 = 35;

/// Request key and the versions that are answered. Fetch, ListOffsets and FindCoordinator are told, not answered: some
/// clients believe a broker without them too old to be one.
const SPOKEN: [(i16, i16, i16); 7] =
    [(0, 3, 13), (1, 4, 13), (2, 1, 7), (3, 0, 12), (10, 0, 4), (18, 0, 4), (22, 0, 4)];

#[derive(Clone)]
pub(crate) struct Responses {
    pub(crate) logs: Arc<Mutex<Logs>>,
    pub(crate) port: u16,
    pub(crate) partitions: i32,
}

impl Responses {
    pub(crate) fn respond(&self, input: &mut Input) -> io::Result<Option<Vec<u8>>> {
        let (key, version, correlation) = (input.i16()?, input.i16()?, input.i32()?);
        // The client's id has two bytes of length in every version.
        input.string(false)?;
        let since = |flexible_from: i16| version >= flexible_from;
        match key {
            0 => self.produce(input, version, correlation, since(9)),
            3 => self.metadata(input, version, correlation, since(9)).map(Some),
            18 => Ok(Some(api_versions(version, correlation))),
            22 => Ok(Some(self.init_producer_id(correlation, since(2)))),
            _ => Err(broken(&format!("request {key}, which a producer does not need"))),
        }
    }

    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn produce(&self, input: &mut Input, version: i16, correlation: i32, flex: bool) -> io::Result<Option<Vec<u8>>> {
        input.tags(flex)?;
        input.string(flex)?;
        let (acks, _timeout) = (input.i16()?, input.i32()?);
        let mut output = Output::new(correlation, flex);
        output.tags();
        let topics = input.count(flex)?.unwrap_or(0);
        output.count(topics);
        for _ in 0..topics {
            let topic = if version >= 13 {
                let id = input.array()?;
                output.raw(&id);
                number_of(id)
            } else {
                let name = input.string(flex)?.unwrap_or_default();
                output.string(Some(&name));
                Some(self.logs().number(&name))
            };
            let partitions = input.count(flex)?.unwrap_or(0);
            output.count(partitions);
            for _ in 0..partitions {
                self.batch(input, &mut output, version, flex, topic)?;
            }
            input.tags(flex)?;
            output.tags();
        }
        self.logs().told.requests += 1;
        output.i32(0);
        output.tags();
        Ok((acks != 0).then(|| output.finish()))
    }

    fn batch(
        &self,
        input: &mut Input,
        output: &mut Output,
        version: i16,
        flex: bool,
        topic: Option<usize>,
    ) -> io::Result<()> {
        let partition = input.i32()?;
        let length = input.bytes_length(flex)?;
        let header: [u8; HEADER_LEN] = input.array()?;
        input.skip(length.checked_sub(HEADER_LEN).ok_or_else(|| broken("records without a header"))?)?;
        input.tags(flex)?;
        let appended = self.logs().append(topic, partition, &header, length);
        output.i32(partition);
        output.i16(appended.err().unwrap_or(0));
        output.i64(appended.unwrap_or(-1));
        // The time of the append, the log's start.
        output.i64(-1);
        if version >= 5 {
            output.i64(if appended.is_ok() { 0 } else { -1 });
        }
        if version >= 8 {
            output.count(0);
            output.string(None);
        }
        output.tags();
        Ok(())
    }

    fn init_producer_id(&self, correlation: i32, flex: bool) -> Vec<u8> {
        let mut output = Output::new(correlation, flex);
        output.tags();
        output.i32(0);
        output.i16(0);
        output.i64(self.logs().producer_id());
        output.i16(0);
        output.tags();
        output.finish()
    }

    fn metadata(&self, input: &mut Input, version: i16, correlation: i32, flex: bool) -> io::Result<Vec<u8>> {
        input.tags(flex)?;
        let names = self.asked_for(input, version, flex)?;
        let mut output = Output::new(correlation, flex);
        output.tags();
        if version >= 3 {
            output.i32(0);
        }
        output.count(1);
        output.i32(NODE);
        output.string(Some(b"127.0.0.1"));
        output.i32(i32::from(self.port));
        if version >= 1 {
            output.string(None);
        }
        output.tags();
        if version >= 2 {
            output.string(Some(b"sink"));
        }
        if version >= 1 {
            output.i32(NODE);
        }
        output.count(names.len());
        names.iter().for_each(|name| self.topic(&mut output, version, name));
        if (8..=10).contains(&version) {
            output.i32(NO_AUTHORIZED_OPERATIONS);
        }
        output.tags();
        Ok(output.finish())
    }

    fn asked_for(&self, input: &mut Input, version: i16, flex: bool) -> io::Result<Vec<Vec<u8>>> {
        let Some(count) = input.count(flex)? else { return Ok(self.logs().names()) };
        let mut names = Vec::new();
        for _ in 0..count {
            let id = if version >= 10 { input.array()? } else { [0; 16] };
            let name = input.string(flex)?.or_else(|| self.logs().name(id).map(<[u8]>::to_vec));
            names.extend(name);
            input.tags(flex)?;
        }
        // In version 0 an empty list asks for all.
        Ok(if version == 0 && count == 0 { self.logs().names() } else { names })
    }

    fn topic(&self, output: &mut Output, version: i16, name: &[u8]) {
        output.i16(0);
        output.string(Some(name));
        let number = self.logs().number(name);
        if version >= 10 {
            output.raw(&id_of(number));
        }
        if version >= 1 {
            output.bool(false);
        }
        output.count(usize::try_from(self.partitions).unwrap_or(0));
        (0..self.partitions).for_each(|partition| partition_of(output, version, partition));
        if version >= 8 {
            output.i32(NO_AUTHORIZED_OPERATIONS);
        }
        output.tags();
    }
}

fn partition_of(output: &mut Output, version: i16, partition: i32) {
    output.i16(0);
    output.i32(partition);
    output.i32(NODE);
    if version >= 7 {
        output.i32(0);
    }
    // Replicas, and those in sync.
    for _ in 0..2 {
        output.count(1);
        output.i32(NODE);
    }
    if version >= 5 {
        output.count(0);
    }
    output.tags();
}

/// This response's header never has tagged fields: it must be readable by who does not know the version yet.
fn api_versions(version: i16, correlation: i32) -> Vec<u8> {
    let spoken = version <= 4;
    let version = if spoken { version } else { 0 };
    let mut output = Output::new(correlation, version >= 3);
    output.i16(if spoken { 0 } else { UNSUPPORTED_VERSION });
    output.count(SPOKEN.len());
    for (key, lowest, highest) in SPOKEN {
        output.i16(key);
        output.i16(lowest);
        output.i16(highest);
        output.tags();
    }
    if version >= 1 {
        output.i32(0);
    }
    output.tags();
    output.finish()
}
