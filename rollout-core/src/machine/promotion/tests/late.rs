//! Late answers.

use super::*;

#[test]
fn a_late_error_is_counted_once() {
    let observing = give_all(begin(by_tag()), at(1), vec![resolved("v2")]);
    let confirming = give_all(ready(), at(2), vec![Event::Proceed]);
    let reading_back = give_all(copying(), at(3), vec![Event::Copied(Ensured::Created)]);
    let throttled = || error(ErrorKind::Throttled, Applied::No);
    for mut walk in [observing, confirming, copying(), reading_back] {
        walk.give(at(4), throttled()).unwrap();
        let repeat = Some(Deadline::new(at(9), Wait::Retry));
        assert_eq!(walk.machine.deadline(), repeat, "{:?}", walk.machine.state_kind());
        assert_eq!(walk.give(at(5), throttled()).unwrap(), []);
        assert_eq!(walk.machine.deadline(), repeat, "{:?}", walk.machine.state_kind());
    }
}
