//! Every call that the gathering of facts makes: nothing is asked but through one of these, so that the list of what must be
//! allowed is the list of what is asked.

/// Declares the calls: each with its operation and, where IAM names it otherwise, its action; then those that are allowed together
/// with another, and what adapters that are asked make by themselves.
macro_rules! calls {
    (
        $($name:ident = $operation:literal $(by $action:literal)?;)*
        ; $($more:ident = $also:literal by $of:ident;)*
        ; $($theirs:expr;)*
    ) => {
        /// A call.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Call { $($name,)* $($more,)* }

        impl Call {
            /// The service and the operation, as they are counted.
            pub(super) const fn operation(self) -> &'static str {
                match self { $(Self::$name => $operation,)* $(Self::$more => $also,)* }
            }

            /// The action that a policy must allow for it.
            #[cfg(test)]
            pub(super) const fn action(self) -> &'static str {
                match self {
                    $(Self::$name => calls!(@action $operation $(, $action)?),)*
                    $(Self::$more => Self::$of.action(),)*
                }
            }

            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)* $(Self::$more,)*];
        }

        /// The IAM actions of all calls: the least policy of the gathering of facts, on every resource. None of them reads what a
        /// secret, a parameter or an object holds, and none changes anything.
        ///
        /// Where the name of an action is not the operation's, it is the one of the Service Authorization Reference.
        pub const ACTIONS: &[&str] = &[$(calls!(@action $operation $(, $action)?),)* $($theirs,)*];
    };
    (@action $operation:literal) => { $operation };
    (@action $operation:literal, $action:literal) => { $action };
}

calls! {
    DescribeCertificate = "acm:DescribeCertificate";
    // One action is for all that is read of budgets (Service Authorization Reference, "AWS Budget Service").
    DescribeBudgets = "budgets:DescribeBudgets" by "budgets:ViewBudget";
    GetDistribution = "cloudfront:GetDistribution";
    DescribeAlarms = "cloudwatch:DescribeAlarms";
    GetDashboard = "cloudwatch:GetDashboard";
    GetMetricStatistics = "cloudwatch:GetMetricStatistics";
    DescribeNatGateways = "ec2:DescribeNatGateways";
    DescribeRouteTables = "ec2:DescribeRouteTables";
    DescribeSecurityGroups = "ec2:DescribeSecurityGroups";
    DescribeSubnets = "ec2:DescribeSubnets";
    DescribeVpcEndpoints = "ec2:DescribeVpcEndpoints";
    DescribeVpcs = "ec2:DescribeVpcs";
    BatchGetImage = "ecr:BatchGetImage";
    DescribeImageScanFindings = "ecr:DescribeImageScanFindings";
    DescribeImages = "ecr:DescribeImages";
    DescribeRepositories = "ecr:DescribeRepositories";
    GetDownloadUrlForLayer = "ecr:GetDownloadUrlForLayer";
    GetLifecyclePolicy = "ecr:GetLifecyclePolicy";
    GetRegistryScanning = "ecr:GetRegistryScanningConfiguration";
    DescribeServices = "ecs:DescribeServices";
    DescribeTaskDefinition = "ecs:DescribeTaskDefinition";
    DescribeCacheClusters = "elasticache:DescribeCacheClusters";
    DescribeReplicationGroups = "elasticache:DescribeReplicationGroups";
    DescribeListenerCertificates = "elasticloadbalancing:DescribeListenerCertificates";
    DescribeListeners = "elasticloadbalancing:DescribeListeners";
    DescribeBalancerAttributes = "elasticloadbalancing:DescribeLoadBalancerAttributes";
    DescribeBalancers = "elasticloadbalancing:DescribeLoadBalancers";
    DescribeRules = "elasticloadbalancing:DescribeRules";
    DescribeTargetGroupAttributes = "elasticloadbalancing:DescribeTargetGroupAttributes";
    DescribeTargetGroups = "elasticloadbalancing:DescribeTargetGroups";
    DescribeTargetHealth = "elasticloadbalancing:DescribeTargetHealth";
    GetPolicy = "iam:GetPolicy";
    GetPolicyVersion = "iam:GetPolicyVersion";
    GetRole = "iam:GetRole";
    GetRolePolicy = "iam:GetRolePolicy";
    ListAttachedRolePolicies = "iam:ListAttachedRolePolicies";
    ListRolePolicies = "iam:ListRolePolicies";
    SimulatePrincipalPolicy = "iam:SimulatePrincipalPolicy";
    DescribeLogGroups = "logs:DescribeLogGroups";
    DescribeDatabases = "rds:DescribeDBInstances";
    DescribeDatabaseParameters = "rds:DescribeDBParameters";
    GetHostedZone = "route53:GetHostedZone";
    ListRecords = "route53:ListResourceRecordSets";
    GetBucketCors = "s3:GetBucketCors" by "s3:GetBucketCORS";
    GetPublicAccessBlock = "s3:GetPublicAccessBlock" by "s3:GetBucketPublicAccessBlock";
    GetBucketVersioning = "s3:GetBucketVersioning";
    DescribeSecret = "secretsmanager:DescribeSecret";
    ListSubscriptions = "sns:ListSubscriptionsByTopic";
    DescribeParameters = "ssm:DescribeParameters";
    GetCallerIdentity = "sts:GetCallerIdentity";
    GetLogging = "wafv2:GetLoggingConfiguration";
    GetWebAcl = "wafv2:GetWebACLForResource";
    ;
    DescribeBudgetNotifications = "budgets:DescribeNotificationsForBudget" by DescribeBudgets;
    DescribeBudgetSubscribers = "budgets:DescribeSubscribersForNotification" by DescribeBudgets;
    ;
    // The way back looks at services as a rollback does.
    crate::ecs::DESCRIBE_RECORDS;
    crate::ecs::DESCRIBE_SERVICE_REVISIONS;
    crate::ecs::DESCRIBE_TASKS;
    crate::ecs::LIST_RECORDS;
    crate::ecs::LIST_TASKS;
    // `GetWebACLForResource` looks whether the caller may read the web ACL itself (AWS WAFV2 API, "GetWebACLForResource").
    "wafv2:GetWebACL";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_action_reads() {
        let verbs = ["Describe", "Get", "List", "BatchGet", "View", "Simulate"];
        for action in ACTIONS {
            let (service, verb) = action.split_once(':').expect("service and action");
            assert!(
                !service.is_empty() && verbs.iter().any(|begin| verb.starts_with(begin)),
                "{action}"
            );
        }
        let values = [
            "secretsmanager:GetSecretValue",
            "ssm:GetParameters",
            "s3:GetObject",
        ];
        assert!(!ACTIONS.iter().any(|action| values.contains(action)));
    }

    #[test]
    fn no_action_stands_there_twice() {
        let all: BTreeSet<_> = ACTIONS.iter().collect();
        assert_eq!(all.len(), ACTIONS.len());
        assert!(all.contains(&"s3:GetBucketCORS") && !all.contains(&"s3:GetBucketCors"));
    }

    #[test]
    fn every_call_is_counted_by_a_name_of_its_own_and_allowed_by_an_action() {
        let names: BTreeSet<_> = Call::ALL.iter().map(|call| call.operation()).collect();
        assert_eq!(names.len(), Call::ALL.len());
        assert!(Call::ALL.iter().all(|call| ACTIONS.contains(&call.action())));
    }
}
