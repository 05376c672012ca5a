//! The description of the gateway, and what is at its paths.

use crate::support::{broker, serve};

#[tokio::test]
async fn the_document_is_served_and_each_of_its_paths_is_there() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[("default-topic", "t")], &[]).await;
    let reply = gateway.get("/openapi.json").await;
    assert!(reply.head.contains("content-type: application/json"), "{reply:?}");
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{topic}", "t");
        for (method, operation) in operations.as_object().unwrap() {
            let reply = if method == "get" { gateway.get(&path).await } else { gateway.post(&path, &[], b"").await };
            let status = reply.status.to_string();
            assert!(operation["responses"].get(&status).is_some(), "{path}: {status}");
            assert!(!reply.body.starts_with(r#"{"type":"urn:milena:problem:no-such-path"#), "{path}: {status}");
        }
    }
}

#[tokio::test]
async fn the_page_is_html() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[], &[]).await;
    let reply = gateway.get("/docs").await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("content-type: text/html"), "{reply:?}");
}
