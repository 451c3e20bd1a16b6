//! STS: who is calling.

use super::{Answer, Operation, Service};
use crate::endpoint::call::Call;
use crate::endpoint::document::map;

pub(crate) static SERVICE: Service = Service {
    signing_name: "sts",
    target: None,
    query: Some("2011-06-15"),
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    global: true,
    throttled: "Throttling",
    operations: &[&[Operation::read("GetCallerIdentity", get_caller_identity)]],
};

/// The caller of the account's first environment in the region that the request is signed for, or in any; an account that
/// the world does not know has its root user only.
fn get_caller_identity(call: &mut Call<'_>) -> Answer {
    let place = call.place;
    let here = call.environments().find(|e| e.region == place.region);
    let caller = here.or_else(|| call.environments().next()).map_or_else(
        || format!("arn:aws:iam::{}:root", place.account),
        |e| e.caller.clone(),
    );
    Ok(map! {
        "Arn": caller.as_str(),
        "UserId": user_id(&place.account, &caller),
        "Account": place.account.as_str(),
    })
}

/// The unique id of a principal: the account for its root user, otherwise a prefix that tells the kind, and for an assumed
/// role the session's name after a colon (AWS IAM user guide, "IAM identifiers", "Unique identifiers").
fn user_id(account: &str, arn: &str) -> String {
    let resource = arn.rsplit(':').next().unwrap_or_default();
    let digits: String = account
        .bytes()
        .map(|digit| char::from(b'A' + digit % 26))
        .chain("EXAM".chars())
        .collect();
    let mut parts = resource.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("assumed-role"), Some(_), Some(session)) => format!("AROA{digits}:{session}"),
        (Some("user"), ..) => format!("AIDA{digits}"),
        _ => account.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unique_id_tells_the_kind() {
        let account = "111122223333";
        for (arn, begins, ends) in [
            (
                "arn:aws:sts::111122223333:assumed-role/deploy/ci-7",
                "AROA",
                ":ci-7",
            ),
            ("arn:aws:iam::111122223333:user/ann", "AIDA", "EXAM"),
            ("arn:aws:iam::111122223333:root", "1111", "3333"),
        ] {
            let id = user_id(account, arn);
            assert!(id.starts_with(begins) && id.ends_with(ends), "{id}");
        }
    }
}
