//! What each request gets without the rights that it needs, and with them.

use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeConfigsRequest, create_topics_request::CreatableTopic,
    describe_configs_request::DescribeConfigsResource,
};

use super::{fetch, orders, *};
use crate::{
    broker::testing::{BatchOf, TestCluster, name, produce},
    error::ErrorCode as E,
};

/// A cluster with the topic `orders`, whose client may do what `rules` allow it to. A rule begins with the operation.
fn cluster(rules: &[&str]) -> TestCluster {
    let rules = rules.iter().map(|rule| format!("User:ANONYMOUS {rule}").parse::<Acl>().unwrap());
    TestCluster::new(rules.fold(orders().authorize(), Builder::acl), 1)
}

fn produced(cluster: &mut TestCluster, topic: &str) -> i16 {
    let response = cluster.ask(1, 12, &produce(topic, 0, BatchOf::values(&["a"]).encode()));
    response.responses[0].partition_responses[0].error_code
}

fn fetched(cluster: &mut TestCluster, _: &str) -> i16 {
    cluster.ask(1, 12, &fetch(0, 0)).responses[0].partitions[0].error_code
}

fn listed(cluster: &mut TestCluster, topic: &str) -> i16 {
    let partition = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    cluster.ask(1, 7, &request).topics[0].partitions[0].error_code
}

fn described(cluster: &mut TestCluster, topic: &str) -> i16 {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
    cluster.ask(1, 12, &request).topics[0].error_code
}

fn identified(cluster: &mut TestCluster, _: &str) -> i16 {
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_producer_id((-1).into());
    cluster.ask(1, 5, &request.with_producer_epoch(-1)).error_code
}

fn created(cluster: &mut TestCluster, topic: &str) -> i16 {
    let topic = CreatableTopic::default().with_name(name(topic)).with_num_partitions(1).with_replication_factor(1);
    cluster.ask(1, 7, &CreateTopicsRequest::default().with_topics(vec![topic])).topics[0].error_code
}

/// The topic's settings.
fn configured(cluster: &mut TestCluster, topic: &str) -> i16 {
    settings(cluster, 2, topic)
}

/// The broker's settings.
fn set_up(cluster: &mut TestCluster, _: &str) -> i16 {
    settings(cluster, 4, "1")
}

fn settings(cluster: &mut TestCluster, kind: i8, name: &str) -> i16 {
    let name = StrBytes::from_string(name.to_owned());
    let resource = DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(name);
    cluster.ask(1, 4, &DescribeConfigsRequest::default().with_resources(vec![resource])).results[0].error_code
}

/// Sends a request about a topic, and returns the error in its response.
type Ask = fn(&mut TestCluster, &str) -> i16;

#[test]
fn each_request_needs_the_rights_that_apache_kafka_asks_for() {
    let (topic, whole) = (E::TOPIC_AUTHORIZATION_FAILED, E::CLUSTER_AUTHORIZATION_FAILED);
    let unknown = E::UNKNOWN_TOPIC_OR_PARTITION;
    let table: &[(Ask, &str, &[&str], E)] = &[
        (produced, "orders", &[], topic),
        (produced, "orders", &["DESCRIBE topic orders", "READ topic orders"], topic),
        (produced, "orders", &["WRITE topic other"], topic),
        (produced, "orders", &["WRITE topic orders"], E::NONE),
        (produced, "orders", &["ALL topic ord PREFIXED", "WRITE topic orders DENY"], topic),
        // The client is at 127.0.0.1.
        (produced, "orders", &["WRITE topic orders host=127.0.0.1"], E::NONE),
        (produced, "orders", &["WRITE topic orders host=127.0.0.2"], topic),
        // Who may not write to a topic is not told whether it exists.
        (produced, "nothing", &[], topic),
        (produced, "nothing", &["WRITE topic *"], unknown),
        (fetched, "orders", &["WRITE topic orders"], topic),
        (fetched, "orders", &["READ topic orders"], E::NONE),
        (listed, "orders", &[], topic),
        (listed, "orders", &["CREATE topic orders"], topic),
        (listed, "orders", &["DESCRIBE topic orders"], E::NONE),
        (listed, "orders", &["READ topic orders"], E::NONE),
        (listed, "nothing", &[], topic),
        (described, "orders", &[], topic),
        (described, "orders", &["CREATE cluster"], topic),
        (described, "orders", &["WRITE topic orders"], E::NONE),
        (described, "nothing", &[], topic),
        // The request would create it.
        (described, "nothing", &["WRITE topic nothing"], topic),
        (described, "nothing", &["CREATE topic nothing"], topic),
        (described, "nothing", &["WRITE topic nothing", "CREATE topic nothing"], unknown),
        (described, "nothing", &["WRITE topic nothing", "CREATE cluster"], unknown),
        (identified, "", &[], whole),
        (identified, "", &["READ topic *"], whole),
        (identified, "", &["IDEMPOTENT_WRITE cluster"], E::NONE),
        (identified, "", &["WRITE topic any"], E::NONE),
        (identified, "", &["WRITE topic any", "WRITE topic any DENY"], whole),
        (identified, "", &["WRITE topic any host=127.0.0.2"], whole),
        (created, "new", &["CREATE cluster host=127.0.0.1"], E::NONE),
        (created, "new", &[], topic),
        (created, "new", &["WRITE topic new"], topic),
        (created, "new", &["CREATE topic n PREFIXED"], E::NONE),
        (created, "new", &["CREATE cluster"], E::NONE),
        (created, "new", &["CREATE cluster", "CREATE topic new DENY"], E::NONE),
        (created, "orders", &[], topic),
        (configured, "orders", &["DESCRIBE topic orders"], topic),
        (configured, "orders", &["DESCRIBE_CONFIGS topic orders"], E::NONE),
        (configured, "orders", &["ALTER_CONFIGS topic orders"], E::NONE),
        (set_up, "", &["DESCRIBE_CONFIGS topic *"], whole),
        (set_up, "", &["DESCRIBE_CONFIGS cluster"], E::NONE),
    ];
    for (row, (ask, topic, rules, expected)) in table.iter().enumerate() {
        assert_eq!(E(ask(&mut cluster(rules), topic)), *expected, "row {row}: {topic} with {rules:?}");
    }
}

#[test]
fn without_an_authorizer_and_for_super_users_everything_is_allowed() {
    let open: [Builder; 2] = [orders(), orders().authorize().super_user("User:ANONYMOUS")];
    for builder in open {
        let mut cluster = TestCluster::new(builder, 1);
        let asks: [(Ask, &str); 6] = [
            (produced, "orders"),
            (fetched, "orders"),
            (described, "orders"),
            (identified, ""),
            (created, "new"),
            (set_up, ""),
        ];
        for (ask, topic) in asks {
            assert_eq!(ask(&mut cluster, topic), 0, "{topic}");
        }
    }
}

#[test]
fn what_is_refused_has_no_effect() {
    let mut cluster = cluster(&["WRITE topic new"]);
    produced(&mut cluster, "orders");
    described(&mut cluster, "new");
    created(&mut cluster, "other");
    assert!(cluster.state.log("orders", 0).is_empty());
    assert_eq!(cluster.state.topics.keys().collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn a_list_of_all_topics_has_those_that_the_client_may_see_each_with_what_it_may_do() {
    let mut cluster = cluster(&["WRITE topic orders", "READ topic new"]);
    ["new", "hidden"].iter().for_each(|topic| cluster.state.add_topic(topic, 1).unwrap());
    let request = MetadataRequest::default().with_topics(None).with_include_topic_authorized_operations(true);
    let told = |topic: kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
        (topic.name.unwrap().to_string(), topic.topic_authorized_operations)
    };
    let topics: Vec<_> = cluster.ask(1, 12, &request).topics.into_iter().map(told).collect();
    let describe = 1 << 8;
    assert_eq!(topics, [("new".to_owned(), describe | (1 << 3)), ("orders".to_owned(), describe | (1 << 4))]);
    let old = cluster.ask(1, 7, &MetadataRequest::default().with_topics(None));
    assert_eq!(old.topics[0].topic_authorized_operations, i32::MIN);
}

#[test]
fn a_topic_that_is_asked_for_by_its_id_keeps_its_name_a_secret() {
    let mut cluster = cluster(&[]);
    let id = cluster.state.topics["orders"].id;
    let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
    let told = cluster.ask(1, 12, &MetadataRequest::default().with_topics(Some(vec![topic]))).topics.remove(0);
    assert_eq!((E(told.error_code), told.topic_id, told.name), (E::TOPIC_AUTHORIZATION_FAILED, id, None));
}

#[test]
fn a_new_topics_settings_are_told_to_those_who_may_see_them() {
    for (rules, code) in [(&["CREATE cluster"][..], 29), (&["CREATE cluster", "DESCRIBE_CONFIGS topic new"], 0)] {
        let topic = CreatableTopic::default().with_name(name("new")).with_num_partitions(1).with_replication_factor(1);
        let response = cluster(rules).ask(1, 7, &CreateTopicsRequest::default().with_topics(vec![topic]));
        let told = &response.topics[0];
        assert_eq!((told.error_code, told.topic_config_error_code), (0, code));
        assert_eq!(told.num_partitions, if code == 0 { 1 } else { -1 });
    }
}

#[test]
fn with_acks_zero_a_write_that_is_not_allowed_closes_the_connection() {
    let request = produce("orders", 0, BatchOf::values(&["a"]).encode()).with_acks(0);
    assert!(cluster(&[]).reply(1, 12, &request).close);
}

#[test]
fn rules_count_from_the_next_request_on() {
    let mut cluster = cluster(&[]);
    let rule: Acl = "User:ANONYMOUS WRITE topic orders".parse().unwrap();
    assert_eq!(produced(&mut cluster, "orders"), 29);
    cluster.state.add_acl(rule.clone());
    assert_eq!(produced(&mut cluster, "orders"), 0);
    assert!(cluster.state.remove_acl(&rule));
    assert_eq!(produced(&mut cluster, "orders"), 29);
}

#[test]
fn the_user_that_a_client_has_authenticated_as_is_the_one_whose_rights_count() {
    let rule = Acl::allow("User:alice", Operation::Write, Resource::topic("orders"));
    for (user, expected) in [("alice", 0), ("bob", 29)] {
        let builder = orders().user("alice", "secret").user("bob", "secret").acl(rule.clone());
        let mut cluster = TestCluster::new(builder, 1);
        cluster.session.begin(NOW, &mut cluster.state.security, "PLAIN").unwrap();
        let message = format!("\0{user}\0secret");
        cluster.session.answer(NOW, &cluster.state.security, message.as_bytes()).unwrap();
        assert_eq!(produced(&mut cluster, "orders"), expected, "{user}");
    }
}
