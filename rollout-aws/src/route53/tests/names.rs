//! What name servers answer: small DNS servers on loopback, and Route 53's own ways.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record as DnsRecord};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// What a server answers to a question: none, one or several datagrams.
type Answers = Arc<dyn Fn(&Message) -> Vec<Message> + Send + Sync>;

/// A name server on loopback. Over TCP it answers with the last of what it would say, never cut.
async fn server(answers: Answers) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = tcp.local_addr().expect("bound");
    let udp = UdpSocket::bind(address).await.expect("the same port");
    let over_tcp = Arc::clone(&answers);
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).expect("a DNS message");
            for answer in answers(&query) {
                let wire = answer.to_vec().expect("encodes");
                udp.send_to(&wire, from).await.expect("sent");
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.expect("a length");
            let mut buffer = vec![0; usize::from(length)];
            stream.read_exact(&mut buffer).await.expect("a message");
            let query = Message::from_vec(&buffer).expect("a DNS message");
            let mut answer = over_tcp(&query).pop().expect("an answer");
            answer.metadata.truncation = false;
            let wire = answer.to_vec().expect("encodes");
            let length = u16::try_from(wire.len()).expect("short");
            stream.write_u16(length).await.expect("sent");
            stream.write_all(&wire).await.expect("sent");
        }
    });
    address
}

/// An authoritative answer to a question.
fn reply(query: &Message, ttl: u32, data: &[RData]) -> Message {
    assert!(!query.metadata.recursion_desired, "asked as a resolver asks");
    assert!(query.edns.is_some(), "with EDNS");
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    answer.metadata.authoritative = true;
    answer.add_queries(query.queries.iter().cloned());
    let name = query.queries[0].name();
    for data in data {
        answer.add_answer(DnsRecord::from_rdata(name.clone(), ttl, data.clone()));
    }
    answer
}

fn a(text: &str) -> RData {
    RData::A(A(text.parse().expect("an IPv4 address")))
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}

/// One server that always says this.
async fn always(ttl: u32, data: Vec<RData>) -> SocketAddr {
    server(Arc::new(move |query| vec![reply(query, ttl, &data)])).await
}

fn www(data: &[&str]) -> Record {
    values(key("www.example.com", RecordType::A), 60, data)
}

async fn ask(servers: Vec<SocketAddr>, expected: &Record) -> Vec<AuthoritativeAnswer> {
    cutover(&Fake::new([]))
        .with_authority(Authority::Servers(servers))
        .ask_authoritative(&context(), &zone(), expected)
        .await
        .expect("answers")
}

async fn verdict(server: SocketAddr, expected: &Record) -> Option<bool> {
    let [answer] = ask(vec![server], expected).await.try_into().expect("one answer");
    answer.matches
}

#[tokio::test]
async fn each_server_is_judged_by_itself() {
    let good = always(60, vec![a("192.0.2.2"), a("192.0.2.1")]).await;
    let old = always(60, vec![a("192.0.2.9")]).await;
    let answers = ask(vec![good, old], &www(&["192.0.2.1", "192.0.2.2"])).await;
    assert_eq!(answers[0].matches, Some(true), "{answers:?}");
    assert_eq!(answers[0].server, good.to_string());
    assert_eq!(answers[0].at, Timestamp::from_millis(7));
    assert_eq!(answers[0].detail, "192.0.2.1, 192.0.2.2 (TTL 60 s)");
    assert_eq!(answers[1].matches, Some(false));
    assert_eq!(
        answers[1].detail,
        "192.0.2.9 (TTL 60 s); expected 192.0.2.1, 192.0.2.2"
    );
}

#[tokio::test]
async fn the_ttl_counts() {
    // An authority that still has the old TTL has not got the change.
    assert_eq!(
        verdict(always(300, vec![a("192.0.2.1")]).await, &www(&["192.0.2.1"])).await,
        Some(false)
    );
    assert_eq!(
        verdict(always(59, vec![a("192.0.2.1")]).await, &www(&["192.0.2.1"])).await,
        Some(false)
    );
    // A cache counts down.
    let cache = |ttl| {
        server(Arc::new(move |query: &Message| {
            let mut answer = reply(query, ttl, &[a("192.0.2.1")]);
            answer.metadata.authoritative = false;
            vec![answer]
        }))
    };
    assert_eq!(verdict(cache(59).await, &www(&["192.0.2.1"])).await, Some(true));
    assert_eq!(verdict(cache(61).await, &www(&["192.0.2.1"])).await, Some(false));
}

#[tokio::test]
async fn names_and_texts_are_compared_as_dns_means_them() {
    let cname = always(60, vec![RData::CNAME(CNAME(name("New.Example.com")))]).await;
    let expected = values(
        key("api.example.com", RecordType::Cname),
        60,
        &["new.example.com"],
    );
    assert_eq!(verdict(cname, &expected).await, Some(true));
    let text = TXT::new(vec!["generation=42 run=r-1".to_owned()]);
    let txt = always(60, vec![RData::TXT(text)]).await;
    let mut expected = values(
        key("_rollout.api.example.com", RecordType::Txt),
        60,
        &["\"generation=42 run=r-1\""],
    );
    assert_eq!(verdict(txt, &expected).await, Some(true));
    expected.data = RecordData::Values {
        ttl: 60,
        values: vec!["\"generation=41 run=r-1\"".to_owned()],
    };
    assert_eq!(verdict(txt, &expected).await, Some(false));
}

#[tokio::test]
async fn an_empty_answer_is_wrong_and_a_refusal_is_none() {
    assert_eq!(
        verdict(always(60, Vec::new()).await, &www(&["192.0.2.1"])).await,
        Some(false)
    );
    for (code, expected) in [
        (ResponseCode::NXDomain, Some(false)),
        (ResponseCode::Refused, None),
        (ResponseCode::ServFail, None),
    ] {
        let server = server(Arc::new(move |query| {
            let mut answer = reply(query, 60, &[]);
            answer.metadata.response_code = code;
            vec![answer]
        }))
        .await;
        assert_eq!(verdict(server, &www(&["192.0.2.1"])).await, expected, "{code:?}");
    }
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again_over_tcp() {
    let server = server(Arc::new(|query| {
        let mut answer = reply(query, 60, &[a("192.0.2.1")]);
        answer.metadata.truncation = true;
        vec![answer]
    }))
    .await;
    assert_eq!(verdict(server, &www(&["192.0.2.1"])).await, Some(true));
}

#[tokio::test]
async fn datagrams_that_do_not_belong_to_the_question_are_passed_over() {
    let server = server(Arc::new(|query| {
        let mut other_id = reply(query, 60, &[a("192.0.2.66")]);
        other_id.metadata.id = query.metadata.id.wrapping_add(1);
        let mut other_question = reply(query, 60, &[a("192.0.2.66")]);
        other_question.queries = vec![Query::query(
            name("other.example.com"),
            query.queries[0].query_type(),
        )];
        let mut no_answer = reply(query, 60, &[a("192.0.2.66")]);
        no_answer.metadata.message_type = MessageType::Query;
        vec![
            other_id,
            other_question,
            no_answer,
            reply(query, 60, &[a("192.0.2.1")]),
        ]
    }))
    .await;
    assert_eq!(verdict(server, &www(&["192.0.2.1"])).await, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_no_answer_and_does_not_hide_the_others() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let silent = server(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Vec::new()
    }))
    .await;
    let good = always(60, vec![a("192.0.2.1")]).await;
    let answers = ask(vec![silent, good], &www(&["192.0.2.1"])).await;
    assert_eq!(
        (answers[0].matches, answers[1].matches),
        (None, Some(true)),
        "{answers:?}"
    );
    assert_eq!(answers[0].detail, "no answer in time");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a datagram may be lost once");
}

/// Looks names up in a list.
struct Hosts(Vec<(&'static str, Vec<SocketAddr>)>);

#[async_trait]
impl Resolve for Hosts {
    async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0
            .iter()
            .find(|(name, _)| *name == host)
            .map(|(_, found)| found.clone())
            .ok_or_else(|| io::Error::other("no such host"))
    }
}

fn hosted_zone(names: &[&str]) -> Said {
    let delegation = if names.is_empty() {
        String::new()
    } else {
        let names: String = names
            .iter()
            .map(|n| format!("<NameServer>{n}</NameServer>"))
            .collect();
        format!("<DelegationSet><NameServers>{names}</NameServers></DelegationSet>")
    };
    say(
        200,
        format!(
            "<?xml version=\"1.0\"?><GetHostedZoneResponse {XMLNS}><HostedZone><Id>/hostedzone/Z1</Id>\
             <Name>example.com.</Name><CallerReference>c</CallerReference></HostedZone>{delegation}</GetHostedZoneResponse>"
        ),
    )
}

#[tokio::test]
async fn the_zones_own_name_servers_are_asked_and_must_speak_for_it() {
    let good = always(60, vec![a("192.0.2.1")]).await;
    let lame = server(Arc::new(|query| {
        let mut answer = reply(query, 60, &[a("192.0.2.1")]);
        answer.metadata.authoritative = false;
        vec![answer]
    }))
    .await;
    let fake = Fake::new([hosted_zone(&["ns-1.example", "ns-2.example", "ns-3.example"])]);
    let v6 = SocketAddr::new(IpAddr::from([0; 16]), 1);
    let hosts = Hosts(vec![
        ("ns-1.example", vec![v6, good]),
        ("ns-2.example", vec![lame]),
    ]);
    let cutover = cutover(&fake).with_resolver(Arc::new(hosts));
    for _ in 0..2 {
        let answers = cutover
            .ask_authoritative(&context(), &zone(), &www(&["192.0.2.1"]))
            .await
            .expect("answers");
        let verdicts: Vec<_> = answers.iter().map(|answer| answer.matches).collect();
        assert_eq!(verdicts, [Some(true), None, None], "{answers:?}");
        assert_eq!(answers[0].server, "ns-1.example (127.0.0.1)");
        assert!(answers[1].detail.contains("not as an authority"), "{answers:?}");
        assert!(answers[2].detail.contains("cannot be looked up"), "{answers:?}");
    }
    assert_eq!(fake.sent().len(), 1, "the zone's name servers are remembered");

    let private = super::cutover(&Fake::new([hosted_zone(&[])]));
    let error = private
        .ask_authoritative(&context(), &zone(), &www(&["192.0.2.1"]))
        .await
        .expect_err("a private zone");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_alias_to_a_load_balancer_answers_with_some_of_its_addresses() {
    let target = "lb-1.elb.amazonaws.com";
    let expected = alias(key("www.example.com", RecordType::A), target, "ZELB");
    let address = |text: &str| SocketAddr::new(text.parse().expect("an address"), 53);
    let judged = async |data: Vec<RData>, hosts: Vec<SocketAddr>| {
        let server = always(60, data).await;
        let cutover = cutover(&Fake::new([]))
            .with_authority(Authority::Servers(vec![server]))
            .with_resolver(Arc::new(Hosts(vec![(target, hosts)])));
        let mut answers = cutover
            .ask_authoritative(&context(), &zone(), &expected)
            .await
            .expect("answers");
        answers.remove(0)
    };
    let its = || vec![address("192.0.2.1"), address("192.0.2.2"), address("2001:db8::1")];
    assert_eq!(
        judged(vec![a("192.0.2.2"), a("192.0.2.3")], its()).await.matches,
        Some(true)
    );
    assert_eq!(judged(vec![a("192.0.2.9")], its()).await.matches, Some(false));
    assert_eq!(judged(Vec::new(), its()).await.matches, Some(false));
    let unknown = judged(vec![a("192.0.2.1")], vec![address("2001:db8::1")]).await;
    assert_eq!(unknown.matches, None);
    assert!(
        unknown.detail.contains("has no A address itself"),
        "{}",
        unknown.detail
    );
}

#[tokio::test]
async fn an_alias_within_the_zone_answers_as_its_target_on_the_same_server() {
    let expected = alias(key("www.example.com", RecordType::A), "blue.example.com.", "Z1");
    let says = |www: &'static str| {
        server(Arc::new(move |query: &Message| {
            let own = query.queries[0].name() == &name("www.example.com");
            vec![reply(query, 60, &[a(if own { www } else { "192.0.2.1" })])]
        }))
    };
    assert_eq!(verdict(says("192.0.2.1").await, &expected).await, Some(true));
    assert_eq!(verdict(says("192.0.2.9").await, &expected).await, Some(false));
}

#[tokio::test]
async fn a_weighted_record_is_asked_for_until_it_is_seen_and_another_one_is_not_wrong() {
    let mut expected = www(&["192.0.2.1"]);
    expected.key.set_identifier = Some("blue".to_owned());
    expected.weight = Some(10);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let in_turn = server(Arc::new(move |query| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        vec![reply(
            query,
            60,
            &[a(if turn == 4 { "192.0.2.1" } else { "192.0.2.9" })],
        )]
    }))
    .await;
    assert_eq!(verdict(in_turn, &expected).await, Some(true));
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    let other = always(60, vec![a("192.0.2.9")]).await;
    assert_eq!(verdict(other, &expected).await, None);

    // Weight 0 is never answered: it is read back instead.
    expected.weight = Some(0);
    let listed = set(
        "<Name>www.example.com.</Name><Type>A</Type><SetIdentifier>blue</SetIdentifier><Weight>0</Weight><TTL>60</TTL>\
         <ResourceRecords><ResourceRecord><Value>192.0.2.1</Value></ResourceRecord></ResourceRecords>",
    );
    let answers = cutover(&Fake::new([page(&[&listed], None)]))
        .with_authority(Authority::Servers(vec![other]))
        .ask_authoritative(&context(), &zone(), &expected)
        .await
        .expect("answers");
    assert_eq!(answers[0].matches, Some(true), "{answers:?}");
}

#[tokio::test]
async fn a_record_read_back_says_so_and_is_compared_exactly() {
    let expected = www(&["192.0.2.1"]);
    for (ttl, value, matches) in [
        (60, "192.0.2.1", true),
        (61, "192.0.2.1", false),
        (60, "192.0.2.2", false),
    ] {
        let fake = Fake::new([page(&[&listed("www.example.com.", "A", ttl, &[value])], None)]);
        let answers = cutover(&fake)
            .with_authority(Authority::RecordsApi)
            .ask_authoritative(&context(), &zone(), &expected)
            .await
            .expect("answers");
        assert_eq!(answers[0].matches, Some(matches), "{answers:?}");
        assert!(
            answers[0].server.contains("no name server was asked"),
            "{answers:?}"
        );
    }
    let gone = cutover(&Fake::new(nothing()))
        .with_authority(Authority::RecordsApi)
        .ask_authoritative(&context(), &zone(), &expected)
        .await
        .expect("answers");
    assert_eq!(
        (gone[0].matches, gone[0].detail.as_str()),
        (Some(false), "no such record")
    );
}

#[tokio::test]
async fn route_53_can_be_asked_what_its_servers_answer() {
    let tested = |code: &str, values: &[&str]| {
        let values: String = values
            .iter()
            .map(|v| format!("<RecordDataEntry>{v}</RecordDataEntry>"))
            .collect();
        say(
            200,
            format!(
                "<?xml version=\"1.0\"?><TestDNSAnswerResponse {XMLNS}><Nameserver>ns-7.example</Nameserver>\
                 <RecordName>www.example.com</RecordName><RecordType>A</RecordType><RecordData>{values}</RecordData>\
                 <ResponseCode>{code}</ResponseCode><Protocol>UDP</Protocol></TestDNSAnswerResponse>"
            ),
        )
    };
    for (said, matches) in [
        (tested("NOERROR", &["192.0.2.1"]), Some(true)),
        (tested("NOERROR", &["192.0.2.9"]), Some(false)),
        (tested("NXDOMAIN", &[]), Some(false)),
        (tested("SERVFAIL", &[]), None),
    ] {
        let fake = Fake::new([said]);
        let answers = cutover(&fake)
            .with_authority(Authority::TestDnsAnswer)
            .ask_authoritative(&context(), &zone(), &www(&["192.0.2.1"]))
            .await
            .expect("answers");
        assert_eq!(answers[0].matches, matches, "{answers:?}");
        assert_eq!(answers[0].server, "ns-7.example (route53:TestDNSAnswer)");
        assert!(
            fake.sent()[0]
                .path
                .contains("hostedzoneid=Z1&recordname=www.example.com&recordtype=A"),
            "{:?}",
            fake.sent()
        );
    }
}
