//! Fleets of so many instances that each worker uses a part of them.

use super::*;

#[test]
fn a_worker_uses_its_part_and_all_when_too_many_of_that_fail() {
    for seed in SEEDS {
        let mut fleet = Simulation::new(200, seed);
        fleet.upstream.spread(3, 8);
        let used = |fleet: &Simulation| {
            let asked = fleet.instances.iter().filter(|instance| instance.asked > 0);
            asked.count()
        };
        fleet.run(seconds(0), seconds(20), PER_SECOND);
        assert_eq!(used(&fleet), 25);
        for instance in &mut fleet.instances {
            if instance.asked > 0 {
                instance.conduct.failing = 1.0;
            }
        }
        fleet.run(seconds(20), seconds(40), PER_SECOND);
        let failed = fleet.failed_after(seconds(25));
        println!("seed {seed}: {} are used, {failed} failed", used(&fleet));
        assert_eq!(used(&fleet), 200);
        assert!(failed < 0.01);
    }
}
