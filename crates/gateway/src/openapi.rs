//! The description of the gateway for programs (OpenAPI 3.1), and a page that shows it to people.
//!
//! In: the written part, `openapi.json`, and the kinds of problems. Out: one document. Pure. What goes well is written by hand beside the
//! types; what can go wrong is [`PROBLEMS`], from which each answer and its headers are made. Deliberately absent: limits that are
//! settings, except where a request beyond the default is certainly refused.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};

use crate::problem::{self, Kind};

/// The page. It has no other file, and reads the document.
pub(crate) const PAGE: &str = include_str!("openapi.html");

const WRITTEN: &str = include_str!("openapi.json");

/// What can go wrong with every record that is sent.
const SENDING: &[Kind] = &[
    Kind::BadParameter,
    Kind::BadBody,
    Kind::Unauthorized,
    Kind::Forbidden,
    Kind::UnknownTopic,
    Kind::SlowBody,
    Kind::Running,
    Kind::TooLarge,
    Kind::Refused,
    Kind::KeyReused,
    Kind::BufferFull,
    Kind::TooOften,
    Kind::Internal,
    Kind::BrokerError,
    Kind::Unavailable,
    Kind::TimedOut,
];

/// What can go wrong where: an operation, and the kinds of its problems.
const PROBLEMS: [(&str, &str, &[&[Kind]]); 5] = {
    use Kind::{
        BadParameter, BadType, ExpiredRequest, KeyOfSeveral, TooOften, Unauthorized, Unavailable, UnknownRequest,
    };
    [
        ("/api/v1/send", "post", &[SENDING]),
        ("/api/v1/topics/{topic}/records", "post", &[SENDING, &[BadType, KeyOfSeveral]]),
        (
            "/api/v1/status",
            "get",
            &[&[BadParameter, Unauthorized, UnknownRequest, ExpiredRequest, Unavailable, TooOften]],
        ),
        ("/api/v1/live", "get", &[&[Unauthorized, TooOften]]),
        ("/readyz", "get", &[&[Unavailable]]),
    ]
};

/// The document.
pub(crate) fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| build().to_string());
    &DOCUMENT
}

fn build() -> Value {
    let mut document: Value = serde_json::from_str(WRITTEN).expect("a test reads it");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let types: Vec<_> = Kind::ALL.iter().map(|kind| kind.type_uri()).collect();
    document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"] = types.into();
    for (path, method, kinds) in PROBLEMS {
        for (status, kinds) in by_status(&kinds.concat()) {
            document["paths"][path][method]["responses"][status.to_string()] = response(&kinds);
        }
    }
    limit(&mut document);
    document
}

/// Adds what answers say of a client's allowance, if the gateway has one.
fn limit(document: &mut Value) {
    let header = |what| json!({"description": what, "schema": {"type": "string"}});
    let headers = [
        (
            "RateLimit",
            "With --rate-limit: how many requests the client may send now, and in how many seconds that changes.",
        ),
        ("RateLimit-Policy", "With --rate-limit: how many requests a client may send in a second."),
    ];
    let paths = document["paths"].as_object_mut().into_iter().flatten().filter(|(path, _)| path.starts_with("/api/"));
    let operations = paths.filter_map(|(_, path)| path.as_object_mut()).flat_map(|path| path.values_mut());
    for operation in operations {
        for (_, response) in operation["responses"].as_object_mut().into_iter().flatten() {
            headers.iter().for_each(|(name, what)| response["headers"][*name] = header(*what));
        }
    }
}

fn by_status(kinds: &[Kind]) -> BTreeMap<u16, Vec<Kind>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for kind in kinds {
        found.entry(kind.status()).or_default().push(*kind);
    }
    found
}

/// The answer with problems that have one status.
fn response(kinds: &[Kind]) -> Value {
    let titles: Vec<_> = kinds.iter().map(|kind| kind.title()).collect();
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    let mut response = json!({
        "description": format!("{}.", titles.join(", or: ")),
        "content": {problem::MEDIA_TYPE: {"schema": schema}},
    });
    if kinds.iter().all(|kind| kind.retry_after().is_some()) {
        let seconds = json!({"type": "integer", "minimum": 1});
        let header = json!({"required": true, "description": "Seconds to wait.", "schema": seconds});
        response["headers"]["Retry-After"] = header;
    }
    if kinds.contains(&Kind::Unauthorized) {
        response["headers"]["WWW-Authenticate"] = json!({"required": true, "schema": {"const": "Bearer"}});
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All that `$ref` names.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_names_nothing_that_it_does_not_have() {
        let document = build();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect(reference);
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn its_paths_are_those_that_are_served_and_each_operation_has_a_name_of_its_own() {
        let document = build();
        let paths: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(paths, crate::routes::PATHS.into_iter().collect());
        let operations = document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
        let names: Vec<_> = operations.map(|(_, operation)| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    #[test]
    fn its_parameters_are_those_that_are_read() {
        let document = build();
        let names = |path: &str, method: &str| -> Vec<String> {
            let parameters = document["paths"][path][method]["parameters"].as_array().unwrap().clone();
            let resolve = |parameter: Value| match parameter["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap().clone(),
                None => parameter,
            };
            let parameters = parameters.into_iter().map(resolve).filter(|parameter| parameter["in"] == "query");
            parameters.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("/api/v1/send", "post"), crate::request::SEND_PARAMETERS);
        assert_eq!(names("/api/v1/topics/{topic}/records", "post"), ["mode"]);
        assert_eq!(names("/api/v1/status", "get"), ["requestId"]);
    }

    #[test]
    fn every_kind_of_problem_is_documented_where_it_can_occur() {
        let somewhere: BTreeSet<_> =
            PROBLEMS.iter().flat_map(|(_, _, kinds)| kinds.concat()).map(Kind::type_uri).collect();
        // These belong to no operation: there is no such path, it does not have the method, or there is no request.
        let nowhere = [Kind::NoSuchPath, Kind::BadMethod, Kind::BadRequest, Kind::LongPath, Kind::LongHead];
        let nowhere = nowhere.map(Kind::type_uri);
        for kind in Kind::ALL {
            assert!(somewhere.contains(kind.type_uri()) != nowhere.contains(&kind.type_uri()), "{kind:?}");
        }
        let document = build();
        let full = &document["paths"]["/api/v1/send"]["post"]["responses"]["429"];
        assert_eq!(full["headers"]["Retry-After"]["required"], true);
        let gone = &document["paths"]["/api/v1/status"]["get"]["responses"]["410"]["headers"];
        assert_eq!(
            (&gone["Retry-After"], gone["RateLimit"]["schema"]["type"].as_str()),
            (&Value::Null, Some("string"))
        );
        assert_eq!(document["paths"]["/readyz"]["get"]["responses"]["200"]["headers"], Value::Null);
    }

    #[test]
    fn the_page_needs_no_other_place() {
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }
}
