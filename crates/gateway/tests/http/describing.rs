//! The description of the gateway, and what is at its paths.

use std::sync::{Arc, Mutex};

use milena_gateway::Lab;

use crate::support::{broker, serve, serve_in_lab, soon};

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

#[tokio::test]
async fn the_live_page_loads_nothing_from_elsewhere_and_its_numbers_are_there() {
    let broker = broker("t").await;
    let gateway = serve(&broker.bootstrap_servers(), &[("default-topic", "t")], &[]).await;
    let page = gateway.get("/").await;
    assert!(page.head.contains("content-type: text/html"), "{page:?}");
    assert!(!page.body.contains("http://") && !page.body.contains("https://"), "it is whole");
    for _ in 0..3 {
        assert_eq!(gateway.post("/api/v1/send", &[], b"").await.status, 200);
    }
    let sent = gateway.post("/api/v1/send?sendMode=async", &[], b"").await.json();
    gateway.outcome(sent["requestId"].as_str().unwrap()).await;
    let live = gateway.get("/api/v1/live").await.json();
    assert_eq!(live["answered"], serde_json::json!([4, 0, 0]));
    let counted: u64 = live["buckets"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!((counted, live["buckets"].as_array().unwrap().len()), (4, live["bounds"].as_array().unwrap().len() + 1));
    assert_eq!((&live["last"][0]["state"], &live["last"][0]["requestId"]), (&"OK".into(), &sent["requestId"]));
    assert_eq!((live.get("breaker"), &live["faults"]), (None, &serde_json::json!([])));
    assert_eq!(gateway.post("/lab/slow", &[], b"").await.status, 404, "there is no lab");
}

/// Notes what it is told.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<String>>>);

impl Lab for Noted {
    fn faults(&self) -> &[(&'static str, &'static str)] {
        &[("slow", "Answers are slow")]
    }

    fn begin(&self, fault: &str) -> bool {
        self.0.lock().unwrap().push(fault.to_owned());
        fault == "slow"
    }

    fn heal(&self) {
        self.0.lock().unwrap().push("healed".to_owned());
    }
}

#[tokio::test]
async fn the_lab_of_the_page_begins_faults_and_ends_them() {
    let (broker, lab) = (broker("t").await, Noted::default());
    let gateway = serve_in_lab(lab.clone(), &broker.bootstrap_servers()).await;
    let live = gateway.get("/api/v1/live").await.json();
    assert_eq!(live["faults"], serde_json::json!([{"name": "slow", "what": "Answers are slow"}]));
    for (path, status) in [("/lab/slow", 204), ("/lab/other", 404), ("/lab/heal", 204)] {
        assert_eq!(soon(gateway.post(path, &[], b"")).await.status, status, "{path}");
    }
    assert_eq!(gateway.get("/lab/slow").await.status, 405);
    assert_eq!(*lab.0.lock().unwrap(), ["slow", "other", "healed"]);
}
