//! What each request gets from a broker with rules of what users may do.

use std::collections::BTreeSet;

use kafka_protocol::{
    messages::{
        CreateAclsRequest, CreateAclsResponse, CreateTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest,
        FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
        ListGroupsRequest, ListOffsetsRequest, MetadataRequest, ResponseHeader, SyncGroupRequest,
        create_acls_request::AclCreation,
        describe_configs_request::DescribeConfigsResource,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        metadata_request::MetadataRequestTopic,
    },
    protocol::Decodable,
};

use super::{altering::five_for, authenticating::log_in, changing::growing, committing::commit, grouping::text, *};
use crate::{
    SaslMechanism,
    broker::acls::{Acl, Kind},
    sasl::Mechanism,
};

const LISTENER: &str = "SASL_PLAINTEXT";

/// Each user's rules, without the user. The last one shows that all rules are known.
const RULES: [&[&str]; 36] = [
    &[],
    &["DESCRIBE topic orders"],
    &["WRITE topic orders"],
    &["READ topic orders"],
    &["DELETE topic orders"],
    &["ALTER topic orders"],
    &["CREATE topic orders", "CREATE topic new- PREFIXED"],
    &["CREATE cluster"],
    &["ALL topic *"],
    &["ALL topic ord PREFIXED"],
    &["ALL topic *", "WRITE topic orders DENY"],
    &["ALL topic *", "READ topic orders DENY"],
    &["ALL topic *", "ALL topic ord PREFIXED DENY"],
    &["ALL topic *", "ALL topic * DENY"],
    &["WRITE topic orders", "WRITE topic orders DENY"],
    &["WRITE topic ord PREFIXED", "WRITE topic orders DENY"],
    &["WRITE topic orders", "WRITE topic ord PREFIXED DENY"],
    &["IDEMPOTENT_WRITE cluster"],
    &["WRITE topic new- PREFIXED", "CREATE topic new- PREFIXED"],
    &["WRITE topic new- PREFIXED", "CREATE cluster DENY"],
    &["DESCRIBE_CONFIGS topic orders", "DESCRIBE_CONFIGS cluster"],
    &["READ group shop"],
    &["DESCRIBE group shop"],
    &["DELETE group shop"],
    &["READ group shop", "DESCRIBE topic orders"],
    &["ALL group sh PREFIXED", "READ topic orders"],
    &["ALL group *", "READ topic orders", "READ group shop DENY"],
    &["ALL group *", "ALL topic *", "DESCRIBE group shop DENY"],
    &["DESCRIBE cluster"],
    // Clients are at 127.0.0.1.
    &["ALL topic * host=127.0.0.1"],
    &["ALL topic * host=127.0.0.2", "CREATE cluster host=127.0.0.2"],
    &["ALL topic *", "WRITE topic orders host=127.0.0.1 DENY"],
    &["ALL topic *", "ALL topic * host=127.0.0.2 DENY"],
    &["WRITE topic orders", "WRITE topic * host=127.0.0.1 DENY"],
    &["IDEMPOTENT_WRITE cluster host=127.0.0.1", "DESCRIBE topic orders host=127.0.0.1"],
    &["ALTER_CONFIGS topic orders", "ALL cluster", "DESCRIBE topic *"],
];

fn user(number: usize) -> String {
    format!("u{number}")
}

/// All rules, by user.
fn rules() -> Vec<(String, Acl)> {
    let of = |(number, rules): (usize, &&[&str])| {
        let rule = move |rule: &&str| (user(number), format!("User:{} {rule}", user(number)).parse().unwrap());
        rules.iter().map(rule).collect::<Vec<_>>()
    };
    RULES.iter().enumerate().flat_map(of).collect()
}

fn start_real() -> RealKafka {
    let users: String = (0..RULES.len()).map(|number| format!(" user_{}=\"secret\"", user(number))).collect();
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required{users};");
    let settings = [
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.sasl_plaintext.plain.sasl.jaas.config", &*plain),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:ANONYMOUS"),
        // The records are years old, and half a minute after its start the broker would begin to remove such.
        ("log.initial.task.delay.ms", "3600000"),
    ];
    let kafka = RealKafka::start_secured(&[LISTENER], &[], &settings);
    let mut admin = Client::connect(&kafka.bootstrap_servers());
    assert_eq!(admin.ask(7, &create([creatable("orders", 1, 1)])).topics[0].error_code, 0);
    while admin.ask(11, &fetch("orders", 0)).responses[0].partitions[0].error_code != 0 {}
    create_acls(&mut admin);
    let mut last = Client::connect(&kafka.secured_server(LISTENER));
    log_in(&mut last, Mechanism::Plain, &user(RULES.len() - 1), "secret");
    while described(&mut last, "orders", false).starts_with("TOPIC_AUTHORIZATION_FAILED") {}
    kafka
}

/// All rules in one request, so that all or none are known.
fn create_acls(admin: &mut Client) {
    let creation = |(_, rule): &(String, Acl)| {
        let (kind, name, is_prefix, operation, host, is_denial) = rule.parts();
        let kind = match kind {
            Kind::Topic => 2,
            Kind::Group => 3,
            Kind::Cluster => 4,
        };
        AclCreation::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_resource_pattern_type(if is_prefix { 4 } else { 3 })
            .with_principal(StrBytes::from_string(rule.to_string().split(' ').next().unwrap().to_owned()))
            .with_host(StrBytes::from_string(host))
            .with_operation(i8::try_from(operation.code()).unwrap())
            .with_permission_type(if is_denial { 2 } else { 3 })
    };
    let request = CreateAclsRequest::default().with_creations(rules().iter().map(creation).collect());
    admin.send(&frame(3, 3, &request));
    let mut bytes = admin.receive().unwrap();
    ResponseHeader::decode(&mut bytes, 1).unwrap();
    let response = CreateAclsResponse::decode(&mut bytes, 3).unwrap();
    assert!(response.results.iter().all(|result| result.error_code == 0), "{response:?}");
}

/// Runs a scenario against both brokers, as each user.
fn same_for_each_user(scenario: impl Fn(&mut Client, usize) -> Seen) {
    static REAL: OnceLock<RealKafka> = OnceLock::new();
    let as_each = |address: &str| {
        let as_one = |number: usize| {
            let mut client = Client::connect(address);
            log_in(&mut client, Mechanism::Plain, &user(number), "secret");
            let seen = scenario(&mut client, number).into_iter();
            seen.map(move |seen| format!("{:?}: {seen}", RULES[number])).collect::<Vec<_>>()
        };
        (0..RULES.len()).flat_map(as_one).collect::<Vec<_>>()
    };
    let real = as_each(&REAL.get_or_init(start_real).secured_server(LISTENER));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let broker = EmbeddedBroker::builder().sasl([SaslMechanism::Plain]).authorize().topic("orders", 1);
    let broker = (0..RULES.len()).fold(broker, |broker, number| broker.user(user(number), "secret"));
    let broker = rules().into_iter().fold(broker, |broker, (_, rule)| broker.acl(rule));
    let broker = runtime.block_on(broker.start()).unwrap();
    assert_same(&as_each(&broker.bootstrap_servers()), &real);
}

/// What Metadata says of a topic, with the client's rights.
fn described(client: &mut Client, topic: &str, may_create: bool) -> String {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    let request = MetadataRequest::default()
        .with_topics(Some(vec![topic]))
        .with_allow_auto_topic_creation(may_create)
        .with_include_topic_authorized_operations(true);
    let topic = client.ask(12, &request).topics.remove(0);
    let rights = topic.topic_authorized_operations;
    format!(
        "{}, {} partitions, id {}, rights {rights}",
        ErrorCode(topic.error_code),
        topic.partitions.len(),
        !topic.topic_id.is_nil()
    )
}

#[test]
fn rights_to_see_topics() {
    same_for_each_user(|client, number| {
        let all = client.ask(12, &MetadataRequest::default().with_topics(None)).topics;
        let names: BTreeSet<_> = all.into_iter().filter_map(|topic| topic.name).map(|name| name.to_string()).collect();
        let new = format!("new-seen-{number}");
        let offsets = ListOffsetsPartition::default().with_timestamp(-1).with_current_leader_epoch(-1);
        let offsets = ListOffsetsTopic::default().with_name(name("orders")).with_partitions(vec![offsets]);
        let offsets = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![offsets]);
        let listed = client.ask(7, &offsets).topics[0].partitions[0].error_code;
        vec![
            format!("sees orders: {}", names.contains("orders")),
            described(client, "orders", true),
            described(client, &new, false),
            described(client, &new, true),
            format!("ListOffsets {}", ErrorCode(listed)),
        ]
    });
}

#[test]
fn rights_to_write_and_to_read() {
    same_for_each_user(|client, _| {
        let identity = InitProducerIdRequest::default().with_transactional_id(None).with_producer_id((-1).into());
        let identity = identity.with_producer_epoch(-1);
        let mut identified = client.ask(4, &identity).error_code;
        while ErrorCode(identified) == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS {
            identified = client.ask(4, &identity).error_code;
        }
        let unknown = client.produced(12, &produce("nothing", 0, values(1).encode()));
        vec![
            client.write("orders", -1, Some(values(1).encode())).split(' ').next().unwrap().to_owned(),
            unknown,
            format!("InitProducerId {}", ErrorCode(identified)),
            format!("Fetch {}", ErrorCode(client.ask(11, &fetch("orders", 0)).responses[0].partitions[0].error_code)),
        ]
    });
}

#[test]
fn rights_to_create_topics_and_to_see_settings() {
    same_for_each_user(|client, number| {
        let made = |client: &mut Client, topic: &str| {
            let request: CreateTopicsRequest = create([creatable(topic, 1, 1)]);
            let made = client.ask(7, &request).topics.remove(0);
            let config = ErrorCode(made.topic_config_error_code);
            format!("{}, settings {config}, {} partitions", ErrorCode(made.error_code), made.num_partitions)
        };
        let settings = |client: &mut Client, kind: i8, name: &'static str| {
            let name = StrBytes::from_static_str(name);
            let resource = DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(name);
            let request =
                DescribeConfigsRequest::default().with_resources(vec![resource.with_configuration_keys(None)]);
            let result = client.ask(4, &request).results.remove(0);
            format!("{} {}", ErrorCode(result.error_code), result.configs.is_empty())
        };
        vec![
            made(client, "orders"),
            made(client, &format!("new-made-{number}")),
            settings(client, 2, "orders"),
            settings(client, 2, "nothing"),
            settings(client, 4, "1"),
        ]
    });
}

#[test]
fn rights_to_groups() {
    same_for_each_user(|client, _| {
        let group = || text("shop").into();
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("shop")]);
        let is_ready = |code| {
            ![ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::NOT_COORDINATOR]
                .contains(&code)
        };
        let mut found = ErrorCode(client.ask(4, &find).coordinators[0].error_code);
        while !is_ready(found) {
            found = ErrorCode(client.ask(4, &find).coordinators[0].error_code);
        }
        // Not Heartbeat: a coordinator that still loads the group answers it without an error.
        let join = JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(10_000);
        let mut joined = ErrorCode(client.ask(4, &join).error_code);
        while !is_ready(joined) {
            joined = ErrorCode(client.ask(4, &join).error_code);
        }
        let heartbeat = HeartbeatRequest::default().with_group_id(group()).with_member_id(text("stranger"));
        let alive = ErrorCode(client.ask(4, &heartbeat).error_code);
        let synced = client.ask(4, &SyncGroupRequest::default().with_group_id(group())).error_code;
        let left = client.ask(4, &LeaveGroupRequest::default().with_group_id(group())).error_code;
        let listed = client.ask(5, &ListGroupsRequest::default()).groups;
        vec![
            format!("FindCoordinator {found} JoinGroup {joined} Heartbeat {alive}"),
            format!("SyncGroup {} LeaveGroup {}", ErrorCode(synced), ErrorCode(left)),
            client.commits(9, &commit("shop", "", -1, "orders", &[(0, 5), (9, 5)])),
            client.committed(1, "shop", Some(("orders", &[0]))),
            client.committed(7, "shop", Some(("orders", &[0]))),
            client.committed(9, "shop", Some(("orders", &[0]))),
            client.committed(9, "shop", None),
            client.describes(5, "shop"),
            format!("listed {:?}", listed.iter().map(|one| one.group_id.to_string()).collect::<Vec<_>>()),
            client.deletes_offsets("shop", "orders", &[0]),
            client.deletes(&["shop"]),
        ]
    });
}

#[test]
fn rights_to_change_topics_and_to_see_the_cluster() {
    same_for_each_user(|client, _| {
        let request = DescribeClusterRequest::default().with_endpoint_type(1);
        let cluster = client.ask(1, &request.with_include_cluster_authorized_operations(true));
        let (code, rights) = (ErrorCode(cluster.error_code), cluster.cluster_authorized_operations);
        vec![
            format!("DescribeCluster {code}, {} nodes, rights {rights}", cluster.brokers.len()),
            client.grows(growing("orders", 2), true),
            client.grows(growing("nothing", 2), true),
            client.cuts("orders", 0, 0),
            client.cuts("nothing", 0, 0),
            client.epoch_ends("orders", 0, 7, -1),
            client.epoch_ends("nothing", 0, 7, -1),
        ]
    });
}

#[test]
fn rights_to_change_settings_and_to_see_partitions() {
    same_for_each_user(|client, _| {
        vec![
            client.alters(vec![five_for(2, "orders")], true),
            client.alters(vec![five_for(2, "nothing")], true),
            client.alters(vec![five_for(4, "1")], true),
            client.replaces(2, "nothing", &[("segment.ms", Some("5"))]),
            client.replaces(4, "2", &[]),
            client.pages(&["orders", "nothing"], 9, None),
        ]
    });
}
