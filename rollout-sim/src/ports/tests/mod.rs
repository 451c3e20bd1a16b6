mod calls;
mod machine;
mod runs;

use rollout_core::id::ServiceName;
use rollout_core::port::Ports;

use crate::{SimCloud, World};

fn open(world: World) -> (SimCloud, Ports) {
    let cloud = SimCloud::new(world);
    let ports = cloud.ports("staging", "production").expect("both exist");
    (cloud, ports)
}

fn service(name: &str) -> ServiceName {
    name.parse().expect("a name")
}
