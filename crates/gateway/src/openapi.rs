//! The description of the interface: OpenAPI 3.1, and a page for it.
//!
//! Both are files, which the tests hold against the routes, the parameters and the kinds of problems. Pure.

/// The document.
pub(crate) const DOCUMENT: &str = include_str!("openapi.json");
/// The page, which shows the document.
pub(crate) const PAGE: &str = include_str!("docs.html");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::{
        problem::{Kind, Problem},
        request::{RECORDS_PARAMETERS, SEND_PARAMETERS, STATUS_PARAMETERS},
        routes::PATHS,
    };

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn keys(value: &Value) -> BTreeSet<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// The only operation of each path.
    fn operations(document: &Value) -> Vec<(&str, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .map(|(path, methods)| (path.as_str(), methods.as_object().unwrap().values().next().unwrap()))
            .collect()
    }

    #[test]
    fn the_document_has_the_paths_that_are_served() {
        let document = document();
        assert_eq!(keys(&document["paths"]), PATHS.into_iter().collect());
    }

    #[test]
    fn the_document_has_the_parameters_that_are_read() {
        let document = document();
        for (path, method, expected) in [
            ("/api/v1/send", "post", &SEND_PARAMETERS[..]),
            ("/api/v1/topics/{topic}/records", "post", &RECORDS_PARAMETERS),
            ("/api/v1/status", "get", &STATUS_PARAMETERS),
        ] {
            let parameters = document["paths"][path][method]["parameters"].as_array().unwrap();
            let of_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let names: Vec<_> = of_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(names, expected, "{path}");
        }
    }

    #[test]
    fn the_document_has_every_kind_of_problem_and_its_status() {
        let document = document();
        let types = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap();
        let statuses: BTreeSet<&str> =
            operations(&document).into_iter().flat_map(|(_, operation)| keys(&operation["responses"])).collect();
        for kind in Kind::ALL {
            let problem = serde_json::to_value(Problem::new(*kind, "x")).unwrap();
            assert!(types.contains(&problem["type"]), "{problem}");
            // What has no path has no operation.
            let is_of_a_path = !matches!(kind, Kind::NoSuchPath | Kind::BadMethod);
            assert!(!is_of_a_path || statuses.contains(kind.status().to_string().as_str()), "{problem}");
        }
        assert_eq!(types.len(), Kind::ALL.len());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        for reference in DOCUMENT.split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(document.pointer(reference).is_some(), "{reference}");
        }
    }
}
