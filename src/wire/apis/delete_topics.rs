//! DeleteTopics: a topic goes, with its records.
//!
//! In: a topic. Out: the request, and whether the broker deleted the topic. Pure. Deliberately absent: topics by id (version 6).

use bytes::Bytes;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::{
    api::Api,
    envelope::{Caller, frame, read},
    request::{Request, Unusable, check, missing, topic_name},
};

/// Deletes one topic.
#[derive(Debug)]
pub(crate) struct DeleteTopic<'a> {
    pub(crate) topic: &'a str,
    pub(crate) timeout_ms: i32,
}

impl Request for DeleteTopic<'_> {
    const API: Api = Api::DeleteTopics;
    type Response = ();

    fn encode(&self, caller: Caller<'_>, version: i16) -> Bytes {
        let names = vec![topic_name(self.topic)];
        let request = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(self.timeout_ms);
        frame(caller, Self::API, version, &request)
    }

    fn decode(&self, frame: &Bytes, version: i16) -> Result<(), Unusable> {
        let response: DeleteTopicsResponse = read(Self::API, version, frame)?;
        let named = |name: &kafka_protocol::messages::TopicName| name.as_str() == self.topic;
        let result = response.responses.into_iter().find(|one| one.name.as_ref().is_some_and(named));
        let result = result.ok_or_else(|| missing("result", self.topic))?;
        check(result.error_code, result.error_message)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;

    use super::{
        super::{
            request::tests::{TOPIC, is_malformed, refused, responses},
            tests::{CALLER, decoded},
        },
        *,
    };

    const ASK: DeleteTopic<'_> = DeleteTopic { topic: TOPIC, timeout_ms: 7 };

    #[test]
    fn every_version_of_the_request_names_the_topic() {
        for version in 1..=Api::DeleteTopics.latest() {
            let request: DeleteTopicsRequest = decoded(ASK.encode(CALLER, version), Api::DeleteTopics, version);
            assert_eq!((request.topic_names[0].as_str(), request.timeout_ms), (TOPIC, 7));
        }
    }

    #[test]
    fn the_result_is_that_of_the_topic() {
        let result = |code| {
            let result = DeletableTopicResult::default().with_name(Some(topic_name(TOPIC))).with_error_code(code);
            DeleteTopicsResponse::default().with_responses(vec![result])
        };
        assert!(responses(&ASK, &result(0)).into_iter().all(|response| response == Ok(())));
        assert!(responses(&ASK, &result(3)).into_iter().all(|response| response == refused(3)));
        assert!(responses(&ASK, &DeleteTopicsResponse::default()).iter().all(is_malformed));
    }
}
