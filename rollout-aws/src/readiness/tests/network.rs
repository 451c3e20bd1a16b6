use rollout_core::readiness::fact::network::{Endpoint, Hop, Ingress, Nat, Source};

use super::fake::{Fake, Said, Sent};
use super::*;

/// Two subnets of one VPC: one with its own routes, one with the main ones.
pub(super) fn shop(fake: Fake) -> Fake {
    fake.on("DescribeSubnets", |sent| Said::Xml(subnets(sent)))
        .xml(
            "DescribeRouteTables",
            "<routeTableSet>
              <item><vpcId>vpc-1</vpcId>
                <associationSet><item><subnetId>subnet-a</subnetId><main>false</main></item></associationSet>
                <routeSet>
                  <item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId><state>active</state></item>
                  <item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><natGatewayId>nat-1</natGatewayId><state>blackhole</state></item>
                  <item><destinationPrefixListId>pl-1</destinationPrefixListId><gatewayId>vpce-1</gatewayId><state>active</state></item>
                  <item><destinationCidrBlock>10.9.0.0/16</destinationCidrBlock><transitGatewayId>tgw-1</transitGatewayId><state>active</state></item>
                </routeSet></item>
              <item><vpcId>vpc-1</vpcId>
                <associationSet><item><main>true</main></item></associationSet>
                <routeSet><item><destinationIpv6CidrBlock>::/0</destinationIpv6CidrBlock><gatewayId>igw-1</gatewayId><state>active</state></item></routeSet></item>
            </routeTableSet>",
        )
        .xml("DescribeVpcs", "<vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>")
        .xml(
            "DescribeVpcEndpoints",
            "<vpcEndpointSet>
              <item><vpcEndpointId>vpce-1</vpcEndpointId><vpcEndpointType>Gateway</vpcEndpointType><vpcId>vpc-1</vpcId>
                <serviceName>com.amazonaws.eu-central-1.s3</serviceName><state>available</state></item>
              <item><vpcEndpointId>vpce-2</vpcEndpointId><vpcEndpointType>Interface</vpcEndpointType><vpcId>vpc-1</vpcId>
                <serviceName>com.amazonaws.eu-central-1.ecr.api</serviceName><state>Pending</state>
                <privateDnsEnabled>false</privateDnsEnabled><subnetIdSet><item>subnet-a</item></subnetIdSet></item>
            </vpcEndpointSet>",
        )
        .xml(
            "DescribeNatGateways",
            "<natGatewaySet><item><natGatewayId>nat-1</natGatewayId><vpcId>vpc-1</vpcId><subnetId>subnet-c</subnetId>
              <state>available</state></item></natGatewaySet>",
        )
        .xml(
            "DescribeSecurityGroups",
            "<securityGroupInfo><item><groupId>sg-1</groupId><groupName>backend</groupName><vpcId>vpc-1</vpcId><ipPermissions>
              <item><ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>443</toPort>
                <groups><item><groupId>sg-2</groupId></item></groups>
                <ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>
                <ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>
                <prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds></item>
              <item><ipProtocol>-1</ipProtocol><groups><item><groupId>sg-1</groupId></item></groups></item>
            </ipPermissions></item></securityGroupInfo>",
        )
}

fn subnets(sent: &Sent) -> String {
    let zones = [
        ("subnet-a", "eu-central-1a"),
        ("subnet-b", "eu-central-1b"),
        ("subnet-c", "eu-central-1c"),
    ];
    let asked = zones.iter().filter(|(id, _)| sent.body.contains(id));
    let items: String = asked
        .map(|(id, zone)| {
            format!("<item><subnetId>{id}</subnetId><vpcId>vpc-1</vpcId><availabilityZone>{zone}</availabilityZone></item>")
        })
        .collect();
    format!("<subnetSet>{items}</subnetSet>")
}

#[tokio::test]
async fn a_subnet_has_its_own_routes_or_the_main_ones() {
    let fake = task::shop(shop(Fake::new()));
    let facts = gathered(&fake, &super::shop()).await;
    let own = facts.subnets.get("subnet-a").expect("seen");
    assert_eq!((own.vpc.as_str(), own.zone.as_str()), ("vpc-1", "eu-central-1a"));
    let hops: Vec<_> = own
        .routes
        .get()
        .expect("seen")
        .iter()
        .map(|route| (route.by.clone(), route.active))
        .collect();
    let wanted = [
        (Hop::Local, true),
        (Hop::Nat("nat-1".to_owned()), false),
        (Hop::Endpoint("vpce-1".to_owned()), true),
        (Hop::Other("tgw-1".to_owned()), true),
    ];
    assert_eq!(hops, wanted);
    let main = facts
        .subnets
        .get("subnet-b")
        .expect("seen")
        .routes
        .get()
        .expect("seen");
    let main = main.first().expect("one");
    assert_eq!(
        (main.destination.as_str(), &main.by),
        ("::/0", &Hop::InternetGateway("igw-1".to_owned()))
    );
    // What a service names and EC2 does not know.
    assert_eq!(facts.subnets.find("subnet-gone"), Ok(None));
    // Only the services' subnets stand there, and all were asked for at once: once for them, once for the NAT gateway's.
    assert!(!facts.subnets.has("subnet-c"));
    assert_eq!(facts.calls.get("ec2:DescribeSubnets"), Some(&2));
    assert_eq!(facts.calls.get("ec2:DescribeRouteTables"), Some(&1));
}

#[tokio::test]
async fn a_vpc_has_its_endpoints_and_gateways() {
    let facts = gathered(&task::shop(shop(Fake::new())), &super::shop()).await;
    let vpc = facts.vpcs.get("vpc-1").expect("seen");
    assert!(vpc.is_default);
    let endpoint = |id: &str, service: &str, gateway, subnets: &[&str]| Endpoint {
        id: id.to_owned(),
        service: service.to_owned(),
        gateway,
        available: gateway,
        private_dns: gateway,
        subnets: subnets.iter().map(|id| (*id).to_owned()).collect(),
    };
    let endpoints = [
        endpoint("vpce-1", "s3", true, &[]),
        endpoint("vpce-2", "ecr.api", false, &["subnet-a"]),
    ];
    assert_eq!(vpc.endpoints.get().expect("seen"), &endpoints);
    let nat = Nat {
        id: "nat-1".to_owned(),
        zone: Some("eu-central-1c".to_owned()),
        available: true,
    };
    assert_eq!(vpc.nats.get().expect("seen"), &[nat]);
}

#[tokio::test]
async fn a_security_group_lets_in_from_each_place() {
    let facts = gathered(&task::shop(shop(Fake::new())), &super::shop()).await;
    let group = facts.security_groups.get("sg-1").expect("seen");
    assert_eq!((group.name.as_str(), group.vpc.as_str()), ("backend", "vpc-1"));
    let web = |source| Ingress {
        protocol: "tcp".to_owned(),
        from: 80,
        to: 443,
        source,
    };
    let own = Ingress {
        protocol: "-1".to_owned(),
        from: 0,
        to: u16::MAX,
        source: Source::Group("sg-1".to_owned()),
    };
    let wanted = [
        web(Source::Cidr("0.0.0.0/0".to_owned())),
        web(Source::Cidr("::/0".to_owned())),
        web(Source::Group("sg-2".to_owned())),
        web(Source::PrefixList("pl-1".to_owned())),
        own,
    ];
    assert_eq!(group.ingress, wanted);
}

#[tokio::test]
async fn routes_that_may_not_be_read_leave_the_subnet_seen() {
    let fake = task::shop(shop(Fake::new()))
        .error("DescribeRouteTables", 403, "UnauthorizedOperation")
        .error("DescribeNatGateways", 503, "Unavailable");
    let facts = gathered(&fake, &super::shop()).await;
    let subnet = facts.subnets.get("subnet-a").expect("seen");
    assert_eq!(why(&subnet.routes).expect("unknown").0, Why::Denied);
    let nats = why(&facts.vpcs.get("vpc-1").expect("seen").nats).expect("unknown");
    assert_eq!(nats.0, Why::Failed);
    assert!(nats.1.starts_with("ec2:DescribeNatGateways: "), "{}", nats.1);
}
