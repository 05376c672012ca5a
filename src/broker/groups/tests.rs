//! What groups answer, step by step, with a clock that only the test moves.

use super::{joining::MOST_MEMBERS, *};

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;
const BEAT_MS: i32 = 5_000;

/// A coordinator and its clients.
struct Desk {
    groups: Groups,
    now_ms: i64,
    last: u64,
}

/// A member as its client knows it.
#[derive(Clone, Debug, Default)]
struct Knows {
    id: String,
    instance: Option<&'static str>,
    generation: i32,
    part: Bytes,
}

impl Knows {
    fn static_member(instance: &'static str) -> Self {
        Self { instance: Some(instance), ..Self::default() }
    }

    fn who(&self) -> Who {
        Who { member: self.id.clone(), instance: self.instance.map(str::to_owned) }
    }
}

fn desk() -> Desk {
    desk_with(GroupSettings::default())
}

fn desk_with(settings: GroupSettings) -> Desk {
    Desk { groups: Groups::new(settings), now_ms: 1_000, last: 0 }
}

fn offer(names: &[&str]) -> Vec<Protocol> {
    let offer = |name: &&str| Protocol { name: (*name).to_owned(), metadata: Bytes::from(format!("by {name}")) };
    names.iter().map(offer).collect()
}

impl Desk {
    fn request(&self, member: &Knows) -> JoinGroup {
        JoinGroup {
            group: "shop".to_owned(),
            member: member.id.clone(),
            instance: member.instance.map(str::to_owned),
            client_id: "till".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".to_owned(),
            protocols: offer(&["range"]),
            needs_id: true,
            may_skip: true,
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(self.last)
    }

    /// Sends a JoinGroup; the answer may come later.
    fn send_join(&mut self, join: &JoinGroup) -> Ticket {
        let ticket = self.ticket();
        self.groups.join(self.now_ms, ticket, join);
        ticket
    }

    fn send_sync(&mut self, member: &Knows, parts: &[(&str, &'static str)]) -> Ticket {
        let ticket = self.ticket();
        let sync = SyncGroup {
            group: "shop".to_owned(),
            who: member.who(),
            generation: member.generation,
            protocol_type: Some("consumer".to_owned()),
            protocol_name: None,
            assignments: parts
                .iter()
                .map(|(id, part)| ((*id).to_owned(), Bytes::from_static(part.as_bytes())))
                .collect(),
        };
        self.groups.sync(self.now_ms, ticket, &sync);
        ticket
    }

    fn answer(&mut self, ticket: Ticket) -> Option<GroupAnswer> {
        match self.groups.standing(self.now_ms, "shop", ticket) {
            Standing::Done(answer) => Some(answer),
            Standing::Held { until_ms } => {
                assert!(until_ms > self.now_ms, "a request is held until later");
                None
            }
            Standing::New => panic!("{ticket:?} has neither an answer nor a place where it waits"),
        }
    }

    fn joined(&mut self, ticket: Ticket) -> Joined {
        match self.answer(ticket) {
            Some(GroupAnswer::Joined(joined)) => joined,
            other => panic!("{other:?}"),
        }
    }

    fn synced(&mut self, ticket: Ticket) -> Synced {
        match self.answer(ticket) {
            Some(GroupAnswer::Synced(synced)) => synced,
            other => panic!("{other:?}"),
        }
    }

    /// The code of a join that is answered at once.
    fn join_code(&mut self, join: &JoinGroup) -> ErrorCode {
        let ticket = self.send_join(join);
        self.joined(ticket).code
    }

    /// Gives a client an id if it has none, and sends its JoinGroup.
    fn enter(&mut self, member: &mut Knows) -> Ticket {
        if member.id.is_empty() && member.instance.is_none() {
            let ticket = self.send_join(&self.request(member));
            let told = self.joined(ticket);
            assert_eq!((told.code, told.generation), (ErrorCode::MEMBER_ID_REQUIRED, -1));
            member.id = told.member;
        }
        self.send_join(&self.request(member))
    }

    fn learn(&mut self, member: &mut Knows, ticket: Ticket) -> Joined {
        let joined = self.joined(ticket);
        assert_eq!(joined.code, ErrorCode::NONE);
        (member.id, member.generation) = (joined.member.clone(), joined.generation);
        joined
    }

    fn heartbeat(&mut self, member: &Knows) -> ErrorCode {
        let taken = self.groups.heartbeat(self.now_ms, "shop", &member.who(), member.generation);
        taken.err().unwrap_or(ErrorCode::NONE)
    }

    /// Lets all of these join and share out, the first of them first. The group has only these.
    fn stable(&mut self, members: &mut [Knows]) {
        let tickets: Vec<_> = members.iter_mut().map(|member| self.enter(member)).collect();
        let again: Vec<_> = members
            .iter_mut()
            .zip(tickets)
            .map(|(member, ticket)| match self.answer(ticket) {
                // The first generation of the group had no more members.
                Some(GroupAnswer::Joined(joined)) => {
                    member.id = joined.member;
                    self.send_join(&self.request(member))
                }
                _ => ticket,
            })
            .collect();
        for (member, ticket) in members.iter_mut().zip(again) {
            self.learn(member, ticket);
        }
        let parts: Vec<_> = members.iter().zip(["one", "two", "three"]).map(|(m, part)| (m.id.clone(), part)).collect();
        let parts: Vec<_> = parts.iter().map(|(id, part)| (&**id, *part)).collect();
        let leader = self.leader();
        let tickets: Vec<_> = members
            .iter()
            .map(|member| self.send_sync(member, if member.id == leader { &parts } else { &[] }))
            .collect();
        for (member, ticket) in members.iter_mut().zip(tickets) {
            let synced = self.synced(ticket);
            assert_eq!(synced.code, ErrorCode::NONE);
            member.part = synced.assignment;
        }
        assert_eq!(self.state(), "Stable");
    }

    fn leader(&self) -> String {
        self.groups.groups["shop"].leader.clone().unwrap_or_default()
    }

    fn state(&self) -> &'static str {
        self.groups.groups["shop"].state.name()
    }

    /// Time passes, and the group is looked at.
    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.groups.advance(self.now_ms, "shop");
    }
}

#[test]
fn a_member_alone_leads_and_gets_what_it_shares_out() {
    let (mut desk, mut member) = (desk(), Knows::default());
    let ticket = desk.enter(&mut member);
    let joined = desk.learn(&mut member, ticket);
    assert_eq!((joined.generation, &joined.leader), (1, &member.id));
    assert_eq!(joined.protocol_name.as_deref(), Some("range"));
    assert_eq!(joined.members, [(member.who(), Bytes::from("by range"))]);
    assert_eq!(desk.state(), "CompletingRebalance");
    let id = member.id.clone();
    let ticket = desk.send_sync(&member, &[(&id, "all")]);
    assert_eq!(desk.synced(ticket).assignment, "all");
    assert_eq!((desk.state(), desk.heartbeat(&member)), ("Stable", ErrorCode::NONE));
}

#[test]
fn a_second_member_waits_until_the_first_has_joined_again() {
    let mut desk = desk();
    let mut all = [Knows::default()];
    desk.stable(&mut all);
    let ([mut first], mut second) = (all, Knows::default());
    let waiting = desk.enter(&mut second);
    assert_eq!(desk.answer(waiting), None);
    assert_eq!(desk.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
    let ticket = desk.enter(&mut first);
    let (joined, told) = (desk.learn(&mut first, ticket), desk.learn(&mut second, waiting));
    assert_eq!((joined.generation, told.generation), (2, 2));
    assert_eq!((joined.members.len(), told.members.len()), (2, 0));
    assert_eq!((&joined.leader, &told.leader), (&first.id, &first.id));
    let waiting = desk.send_sync(&second, &[]);
    assert_eq!(desk.answer(waiting), None, "the leader has not shared out");
    let ids = (first.id.clone(), second.id.clone());
    let ticket = desk.send_sync(&first, &[(&ids.1, "b"), (&ids.0, "a"), ("nobody", "c")]);
    assert_eq!((desk.synced(ticket).assignment, desk.synced(waiting).assignment), (Bytes::from("a"), Bytes::from("b")));
}

#[test]
fn the_protocol_is_what_most_members_like_best_of_what_all_know() {
    let table: &[(&[&[&str]], &str)] = &[
        (&[&["range"]], "range"),
        (&[&["sticky", "range"], &["range", "sticky"], &["sticky", "range"]], "sticky"),
        (&[&["sticky", "range"], &["range"]], "range"),
        (&[&["a", "b", "c"], &["c", "b"], &["b", "c"]], "b"),
    ];
    for (offers, expected) in table {
        let mut group = Group::new();
        for (number, offered) in offers.iter().enumerate() {
            let join = JoinGroup { protocols: offer(offered), ..desk().request(&Knows::default()) };
            group.members.insert(number.to_string(), Member::new(&join));
        }
        assert_eq!(group.select_protocol().as_deref(), Some(*expected), "{offers:?}");
    }
}

#[test]
fn a_client_that_shares_no_protocol_with_the_members_is_refused() {
    let mut desk = desk();
    desk.stable(&mut [Knows::default()]);
    let fits = desk.request(&Knows::default());
    let refused = [
        JoinGroup { protocols: offer(&["sticky"]), ..fits.clone() },
        JoinGroup { protocols: Vec::new(), ..fits.clone() },
        JoinGroup { protocol_type: "connect".to_owned(), ..fits.clone() },
    ];
    for join in refused {
        assert_eq!(desk.join_code(&join), ErrorCode::INCONSISTENT_GROUP_PROTOCOL, "{join:?}");
    }
    for join in [
        JoinGroup { group: "new".to_owned(), protocols: Vec::new(), ..fits.clone() },
        JoinGroup { group: "new".to_owned(), protocol_type: String::new(), ..fits },
    ] {
        let ticket = desk.send_join(&join);
        let Standing::Done(GroupAnswer::Joined(joined)) = desk.groups.standing(desk.now_ms, "new", ticket) else {
            panic!("held")
        };
        assert_eq!(joined.code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    }
}

#[test]
fn who_may_not_speak_for_a_member_is_told_why() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::static_member("till-1")];
    desk.stable(&mut all);
    let [member, fixed] = all;
    let stranger = Knows { id: "stranger".to_owned(), ..member.clone() };
    let old = Knows { generation: member.generation - 1, ..member.clone() };
    let next = Knows { generation: member.generation + 1, ..member.clone() };
    let table = [
        (member.clone(), ErrorCode::NONE),
        (fixed.clone(), ErrorCode::NONE),
        (stranger.clone(), ErrorCode::UNKNOWN_MEMBER_ID),
        (old, ErrorCode::ILLEGAL_GENERATION),
        (next, ErrorCode::ILLEGAL_GENERATION),
        (Knows { generation: 99, ..stranger }, ErrorCode::UNKNOWN_MEMBER_ID),
        (Knows { instance: Some("till-2"), ..member.clone() }, ErrorCode::UNKNOWN_MEMBER_ID),
        (Knows { instance: Some("till-1"), ..member.clone() }, ErrorCode::FENCED_INSTANCE_ID),
        (Knows { instance: Some("till-1"), generation: 99, ..member }, ErrorCode::FENCED_INSTANCE_ID),
        (Knows { instance: None, ..fixed }, ErrorCode::NONE),
    ];
    for (member, expected) in table {
        assert_eq!(desk.heartbeat(&member), expected, "{member:?}");
        let ticket = desk.send_sync(&member, &[]);
        assert_eq!(desk.synced(ticket).code, expected, "{member:?}");
        if [ErrorCode::UNKNOWN_MEMBER_ID, ErrorCode::FENCED_INSTANCE_ID].contains(&expected) {
            assert_eq!(desk.join_code(&desk.request(&member)), expected, "{member:?}");
            assert_eq!(desk.groups.leave(desk.now_ms, "shop", &[member.who()]), [Err(expected)], "{member:?}");
        }
    }
    assert_eq!(desk.state(), "Stable");
}

#[test]
fn a_group_that_does_not_exist_knows_no_member() {
    let (mut desk, member) = (desk(), Knows { id: "somebody".to_owned(), ..Knows::default() });
    assert_eq!(desk.join_code(&desk.request(&member)), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(desk.heartbeat(&member), ErrorCode::UNKNOWN_MEMBER_ID);
    let ticket = desk.send_sync(&member, &[]);
    assert_eq!(desk.synced(ticket).code, ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(desk.groups.leave(desk.now_ms, "shop", &[member.who()]), [Err(ErrorCode::UNKNOWN_MEMBER_ID)]);
    assert!(desk.groups.groups.is_empty());
}

#[test]
fn a_member_that_is_not_heard_of_is_removed_and_the_others_join_again() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::default()];
    desk.stable(&mut all);
    let [mut first, second] = all;
    for _ in 0..3 {
        desk.pass(i64::from(SESSION_MS) / 2 - 1);
        assert_eq!(desk.heartbeat(&first), desk.heartbeat(&second));
    }
    desk.pass(i64::from(SESSION_MS) - 1);
    assert_eq!(desk.heartbeat(&first), ErrorCode::NONE);
    desk.pass(1);
    assert_eq!(desk.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(desk.heartbeat(&second), ErrorCode::UNKNOWN_MEMBER_ID);
    let ticket = desk.enter(&mut first);
    assert_eq!(desk.learn(&mut first, ticket).members.len(), 1);
    desk.pass(SESSION_MS.into());
    assert_eq!(desk.state(), "Empty");
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_left_behind() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::default()];
    desk.stable(&mut all);
    let [first, mut second] = all;
    let mut third = Knows::default();
    let waiting = [desk.enter(&mut third), desk.enter(&mut second)];
    for _ in 0..REBALANCE_MS / BEAT_MS {
        assert!(waiting.iter().all(|ticket| desk.answer(*ticket).is_none()));
        assert_eq!(desk.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
        // Who waits for the group need not send heartbeats.
        desk.pass(BEAT_MS.into());
    }
    let [third_joined, second_joined] = waiting.map(|ticket| desk.joined(ticket));
    assert_eq!((third_joined.generation, second_joined.generation), (3, 3));
    assert_eq!(third_joined.members.len() + second_joined.members.len(), 2, "one of them leads two");
    assert_eq!(desk.heartbeat(&first), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn members_that_do_not_ask_for_their_part_in_time_are_removed() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::default()];
    let tickets = [desk.enter(&mut all[0]), desk.enter(&mut all[1])];
    desk.learn(&mut all[0], tickets[0]);
    let again = desk.enter(&mut all[0]);
    let [first, second] = &mut all;
    desk.learn(first, again);
    desk.learn(second, tickets[1]);
    let follower = if desk.leader() == first.id { second.clone() } else { first.clone() };
    let waiting = desk.send_sync(&follower, &[]);
    for _ in 0..REBALANCE_MS / BEAT_MS {
        assert_eq!(desk.answer(waiting), None);
        assert_eq!([desk.heartbeat(first), desk.heartbeat(second)], [ErrorCode::NONE; 2]);
        desk.pass(BEAT_MS.into());
    }
    assert_eq!(desk.synced(waiting).code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(desk.leader(), follower.id, "who led has not shared out, and is gone");
    assert_eq!(desk.heartbeat(&follower), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn an_id_that_is_not_used_in_time_is_given_up() {
    let mut desk = desk();
    let told = desk.send_join(&desk.request(&Knows::default()));
    let told = Knows { id: desk.joined(told).member, ..Knows::default() };
    let mut member = Knows::default();
    let ticket = desk.enter(&mut member);
    assert_eq!(desk.learn(&mut member, ticket).generation, 1, "the first generation of a group waits for nobody");
    let ticket = desk.send_sync(&member, &[]);
    assert_eq!(desk.synced(ticket).code, ErrorCode::NONE);
    let waiting = desk.enter(&mut member);
    assert_eq!(desk.answer(waiting), None, "others may still join");
    desk.pass(SESSION_MS.into());
    assert_eq!(desk.joined(waiting).generation, 2);
    assert_eq!(desk.join_code(&desk.request(&told)), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_member_that_leaves_makes_the_others_join_again_and_the_last_one_leaves_the_group_empty() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::default()];
    desk.stable(&mut all);
    let [first, mut second] = all;
    assert_eq!(desk.groups.leave(desk.now_ms, "shop", &[first.who()]), [Ok(())]);
    assert_eq!(desk.heartbeat(&second), ErrorCode::REBALANCE_IN_PROGRESS);
    let ticket = desk.enter(&mut second);
    assert_eq!(desk.learn(&mut second, ticket).leader, second.id);
    assert_eq!(
        desk.groups.leave(desk.now_ms, "shop", &[second.who(), second.who()]),
        [Ok(()), Err(ErrorCode::UNKNOWN_MEMBER_ID)]
    );
    assert_eq!(desk.state(), "Empty");
    let group = &desk.groups.groups["shop"];
    assert_eq!((group.generation, group.leader.as_deref(), group.protocol_name.as_deref()), (4, None, None));
}

#[test]
fn a_static_member_that_restarts_keeps_its_part_and_disturbs_nobody() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::static_member("till-1")];
    desk.stable(&mut all);
    let [other, old] = all;
    let mut new = Knows::static_member("till-1");
    let ticket = desk.enter(&mut new);
    let joined = desk.learn(&mut new, ticket);
    assert_eq!((joined.generation, desk.heartbeat(&other), desk.state()), (old.generation, ErrorCode::NONE, "Stable"));
    assert_ne!(new.id, old.id);
    let ticket = desk.send_sync(&new, &[]);
    assert_eq!(desk.synced(ticket).assignment, old.part);
    assert_eq!([desk.heartbeat(&new), desk.heartbeat(&old)], [ErrorCode::NONE, ErrorCode::FENCED_INSTANCE_ID]);
}

#[test]
fn a_static_leader_that_restarts_need_not_share_out_again_if_it_can_be_told_so() {
    for may_skip in [true, false] {
        let mut desk = desk();
        let mut all = [Knows::static_member("till-1")];
        desk.stable(&mut all);
        let join = JoinGroup { may_skip, ..desk.request(&Knows::static_member("till-1")) };
        let ticket = desk.send_join(&join);
        let joined = desk.joined(ticket);
        assert_eq!((joined.skips_assignment, joined.members.len()), (may_skip, usize::from(may_skip)));
        // Who cannot be told so is to believe that another one leads.
        assert_eq!(joined.leader == joined.member, may_skip);
    }
}

#[test]
fn a_static_member_that_restarts_before_the_parts_are_known_makes_all_join_again() {
    let mut desk = desk();
    let mut member = Knows::static_member("till-1");
    let ticket = desk.enter(&mut member);
    desk.learn(&mut member, ticket);
    let mut new = Knows::static_member("till-1");
    let ticket = desk.enter(&mut new);
    assert_eq!(desk.learn(&mut new, ticket).generation, 2);
}

#[test]
fn a_static_member_that_is_absent_keeps_its_place_until_its_session_ends() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::static_member("till-1")];
    desk.stable(&mut all);
    let [mut other, fixed] = all;
    let ticket = desk.enter(&mut other);
    // It is heard of, but does not join.
    for _ in 0..REBALANCE_MS / BEAT_MS {
        let waits = desk.groups.standing(desk.now_ms, "shop", ticket);
        assert!(matches!(waits, Standing::Held { .. }), "{waits:?}");
        assert_eq!(desk.heartbeat(&fixed), ErrorCode::REBALANCE_IN_PROGRESS);
        desk.pass(BEAT_MS.into());
    }
    let joined = desk.learn(&mut other, ticket);
    assert_eq!(joined.members.len(), 2);
    desk.groups.leave(desk.now_ms, "shop", &[Who { member: String::new(), instance: Some("till-1".to_owned()) }]);
    assert_eq!(desk.groups.groups["shop"].members.len(), 1);
}

#[test]
fn a_group_whose_members_all_stay_away_ends_with_their_sessions() {
    let mut desk = desk();
    let mut all = [Knows::static_member("till-1"), Knows::static_member("till-2")];
    desk.stable(&mut all);
    assert_eq!(desk.groups.leave(desk.now_ms, "shop", &[all[0].who()]), [Ok(())]);
    for _ in 0..REBALANCE_MS / BEAT_MS * 3 {
        assert_eq!((desk.heartbeat(&all[1]), desk.state()), (ErrorCode::REBALANCE_IN_PROGRESS, "PreparingRebalance"));
        desk.pass(BEAT_MS.into());
    }
    desk.pass(SESSION_MS.into());
    assert_eq!(desk.state(), "Empty");
}

#[test]
fn an_empty_group_waits_for_more_members_as_long_as_some_come() {
    let settings = GroupSettings { initial_rebalance_delay_ms: 3_000, ..GroupSettings::default() };
    let mut desk = desk_with(settings);
    let mut all = [Knows::default(), Knows::default(), Knows::default()];
    let mut tickets = vec![desk.enter(&mut all[0])];
    for late in &mut all[1..] {
        desk.pass(2_000);
        tickets.push(desk.enter(late));
    }
    desk.pass(2_000);
    assert_eq!(desk.answer(tickets[0]), None, "two came within the first wait, so there is another one");
    desk.pass(3_000);
    assert_eq!(desk.answer(tickets[0]), None);
    desk.pass(3_000);
    let joined: Vec<_> = tickets.into_iter().map(|ticket| desk.joined(ticket)).collect();
    assert_eq!(joined.iter().map(|joined| joined.generation).collect::<Vec<_>>(), [1; 3]);
    assert_eq!(joined.iter().map(|joined| joined.members.len()).sum::<usize>(), 3);
}

#[test]
fn a_member_that_repeats_its_join_is_told_the_same_unless_something_has_changed() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::default()];
    desk.stable(&mut all);
    let leader = desk.leader();
    let follower = all.iter().find(|member| member.id != leader).unwrap().clone();
    let ticket = desk.send_join(&desk.request(&follower));
    let joined = desk.joined(ticket);
    assert_eq!((joined.generation, joined.members.len(), desk.state()), (follower.generation, 0, "Stable"));
    let changed = JoinGroup { protocols: offer(&["range", "sticky"]), ..desk.request(&follower) };
    let ticket = desk.send_join(&changed);
    assert_eq!((desk.answer(ticket), desk.state()), (None, "PreparingRebalance"));
}

#[test]
fn a_request_that_another_one_overtakes_is_answered() {
    let mut desk = desk();
    let mut all = [Knows::default(), Knows::default()];
    desk.stable(&mut all);
    let [mut first, second] = all;
    let waiting = desk.enter(&mut first);
    let again = desk.enter(&mut first);
    assert!(desk.groups.take_news());
    assert_eq!(desk.joined(waiting).code, ErrorCode::REBALANCE_IN_PROGRESS);
    desk.groups.leave(desk.now_ms, "shop", &[second.who()]);
    assert_eq!(desk.joined(again).members.len(), 1);
    let mut third = Knows::default();
    let waiting = desk.enter(&mut third);
    desk.groups.leave(desk.now_ms, "shop", &[third.who()]);
    assert_eq!(desk.joined(waiting).code, ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_group_takes_no_more_members_than_it_may() {
    let mut desk = desk();
    let join = JoinGroup { needs_id: false, ..desk.request(&Knows::default()) };
    for _ in 0..MOST_MEMBERS - 1 {
        desk.send_join(&join);
    }
    let told = desk.send_join(&desk.request(&Knows::default()));
    let told = Knows { id: desk.joined(told).member, ..Knows::default() };
    assert_eq!(desk.join_code(&join), ErrorCode::GROUP_MAX_SIZE_REACHED);
    assert_eq!(desk.join_code(&desk.request(&Knows::default())), ErrorCode::GROUP_MAX_SIZE_REACHED);
    let ticket = desk.send_join(&desk.request(&told));
    assert_eq!(desk.answer(ticket), None, "who was told an id has its place");
}

#[test]
fn groups_and_their_bytes_are_bounded() {
    let mut desk = desk();
    let refused = JoinGroup { protocols: Vec::new(), ..desk.request(&Knows::default()) };
    for number in 0..MOST_GROUPS + 5 {
        desk.send_join(&JoinGroup { group: number.to_string(), ..refused.clone() });
    }
    assert!(desk.groups.groups.len() <= MOST_GROUPS && desk.groups.answers.len() <= MOST_ANSWERS);
    let large = vec![Protocol { name: "range".to_owned(), metadata: Bytes::from(vec![0; MOST_BYTES]) }];
    assert_eq!(desk.join_code(&JoinGroup { protocols: large, ..refused }), ErrorCode::UNKNOWN_SERVER_ERROR);
}

#[test]
fn parts_that_take_too_much_memory_are_not_handed_out() {
    let mut desk = desk();
    let mut member = Knows::default();
    let ticket = desk.enter(&mut member);
    desk.learn(&mut member, ticket);
    let ticket = desk.ticket();
    let sync = SyncGroup {
        group: "shop".to_owned(),
        who: member.who(),
        generation: member.generation,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![("nobody".to_owned(), Bytes::from(vec![0; MOST_BYTES]))],
    };
    desk.groups.sync(desk.now_ms, ticket, &sync);
    assert_eq!(desk.synced(ticket).code, ErrorCode::UNKNOWN_SERVER_ERROR);
    assert_eq!(desk.heartbeat(&member), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn groups_are_spread_as_apache_kafka_spreads_them() {
    // `Utils.abs(name.hashCode()) % 50` of Java.
    for (group, partition) in [("", 0), ("a", 47), ("shop", 12), ("billing", 9), ("größe", 7)] {
        assert_eq!(partition_of(group), partition, "{group}");
    }
}
