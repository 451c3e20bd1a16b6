//! Clusters.

use serde::Serialize;
use serde_json::Value;

use super::{Failure, Refused, short};
use crate::ecs::service::Status;
use crate::ecs::task::Phase;
use crate::ecs::{Cluster, Environment};

/// A cluster (Amazon ECS API, "Cluster").
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterView {
    pub(crate) cluster_arn: String,
    pub(crate) cluster_name: String,
    pub(crate) status: &'static str,
    pub(crate) registered_container_instances_count: u32,
    pub(crate) running_tasks_count: u32,
    pub(crate) pending_tasks_count: u32,
    pub(crate) active_services_count: u32,
    /// What it was created with: `settings`, `tags`, `capacityProviders` and so on.
    #[serde(flatten)]
    pub(crate) settings: Value,
}

impl Environment {
    /// Creates a cluster, or finds the one with this name: AWS answers with it, too.
    pub(crate) fn create_cluster(&mut self, named: Option<&str>, settings: Value) -> ClusterView {
        let name = named.unwrap_or("default");
        let found = self.find_cluster(Some(name)).ok();
        let index = found.unwrap_or_else(|| {
            self.clusters.push(Cluster {
                name: name.to_owned(),
                settings,
            });
            self.clusters.len() as u16 - 1
        });
        self.cluster_view(index)
    }

    /// The ARNs of all clusters.
    pub(crate) fn list_clusters(&self) -> Vec<String> {
        (0..self.clusters.len() as u16)
            .map(|c| self.cluster_arn(c))
            .collect()
    }

    /// Clusters by name or ARN; `default` when none is named.
    pub(crate) fn describe_clusters(&self, named: &[String]) -> (Vec<ClusterView>, Vec<Failure>) {
        let default = ["default".to_owned()];
        let named = if named.is_empty() { &default[..] } else { named };
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in named {
            match self.find_cluster(Some(name)) {
                Ok(index) => found.push(self.cluster_view(index)),
                Err(_) => missing.push(Failure::missing(self.arn(&format!("cluster/{}", short(name))))),
            }
        }
        (found, missing)
    }

    /// The ARNs of a cluster's services that are not gone.
    pub(crate) fn list_services(&self, cluster: Option<&str>) -> Result<Vec<String>, Refused> {
        let cluster = self.find_cluster(cluster)?;
        let all = self.services.iter().zip(0_u16..);
        let live = all.filter(|(s, _)| s.cluster == cluster && s.status != Status::Inactive);
        Ok(live.map(|(_, index)| self.service_arn(index)).collect())
    }

    fn cluster_view(&self, index: u16) -> ClusterView {
        let cluster = &self.clusters[index as usize];
        let live = self
            .tasks
            .values()
            .filter(|t| t.cluster == index && t.phase < Phase::Stopped);
        let (running, pending): (Vec<_>, Vec<_>) = live
            .filter(|t| t.phase <= Phase::Running)
            .partition(|t| t.phase == Phase::Running);
        let active = self
            .services
            .iter()
            .filter(|s| s.cluster == index && s.status == Status::Active);
        ClusterView {
            cluster_arn: self.cluster_arn(index),
            cluster_name: cluster.name.clone(),
            status: "ACTIVE",
            registered_container_instances_count: 0,
            running_tasks_count: running.len() as u32,
            pending_tasks_count: pending.len() as u32,
            active_services_count: active.count() as u32,
            settings: cluster.settings.clone(),
        }
    }
}
