//! Which security policies are modern.

use super::*;

#[test]
fn only_policies_without_old_protocols_are_modern() {
    for policy in [
        "TLS13-1-3-2021-06",
        "TLS13-1-2-2021-06",
        "TLS13-1-2-Res-2021-06",
        "TLS13-1-2-Ext1-2021-06",
        "TLS13-1-2-Ext2-2021-06",
        "TLS13-1-2-Res-PQ-2025-09",
        "TLS13-1-2-FIPS-2023-04",
        "TLS-1-2-2017-01",
        "TLS-1-2-Ext-2018-06",
        "FS-1-2-2019-08",
        "FS-1-2-Res-2020-10",
    ] {
        assert!(is_modern(&format!("ELBSecurityPolicy-{policy}")), "{policy}");
    }
    for policy in [
        "2016-08",
        "2015-05",
        "TLS-1-0-2015-04",
        "TLS-1-1-2017-01",
        "TLS13-1-1-2021-06",
        "TLS13-1-0-2021-06",
        "TLS13-1-0-FIPS-2023-04",
        "TLS13-1-0-PQ-2025-09",
        "FS-2018-06",
        "FS-1-1-2019-08",
    ] {
        assert!(!is_modern(&format!("ELBSecurityPolicy-{policy}")), "{policy}");
    }
    assert!(!is_modern(""));
}
