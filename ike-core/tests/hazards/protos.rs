//! In the manner of the PROTOS suite c09-isakmp (CVE-2005-3666 to 3668, -3915, -4321, -4564, -4570, CVE-2006-2298):
//! each field of the first two messages of phase 1, one at a time, with each anomaly that fits its kind.

use crate::anomalies::{anomalies, fields, repair_header, repair_payload};
use crate::recorded::sessions;
use crate::walk::walk;

#[test]
fn every_anomaly_of_every_field_of_the_first_two_messages() {
    let (mut cases, mut refused) = (0, 0);
    for session in sessions() {
        for message in session.messages.iter().take(2) {
            let original = &message.datagram;
            for field in fields(original) {
                let end = field.at + field.len;
                for anomaly in anomalies(&original[field.at..end]) {
                    let mut as_is = original[..field.at].to_vec();
                    as_is.extend(&anomaly);
                    as_is.extend(&original[end..]);
                    let mut repaired = as_is.clone();
                    repair_header(&mut repaired);
                    for datagram in [&as_is, &repaired] {
                        cases += 1;
                        refused += usize::from(walk(datagram).is_err());
                    }
                    if anomaly.len() > field.len {
                        repair_payload(&mut repaired, original, field.at);
                        cases += 1;
                        refused += usize::from(walk(&repaired).is_err());
                    }
                }
            }
        }
    }
    assert!(cases > 100_000 && refused > cases / 4, "{refused} of {cases}");
}
