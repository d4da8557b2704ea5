//! The rules of projects: visibility and admins.

use std::collections::BTreeMap;

use super::{Caller, FORBIDDEN, Model, NOT_FOUND, Project, ProjectRole, Verdict, Who, require};

impl Model {
    pub fn create_project(&mut self, caller: Caller, ws: usize) -> Verdict<()> {
        self.require_member(caller, ws)?;
        let members = BTreeMap::from([(caller.who, ProjectRole::Admin)]);
        self.projects.push(Project { id: String::new(), workspace: ws, deleted: false, members });
        Ok(())
    }

    /// A workspace admin sees every project. Others see the projects that they are members of.
    pub fn require_project(&self, caller: Caller, ws: usize, project: usize, least: ProjectRole) -> Verdict<()> {
        let found = &self.projects[project];
        require(found.workspace == ws && !found.deleted, NOT_FOUND)?;
        let admin = self.role(caller, ws)?;
        require(self.limits(caller).reach_project(project), NOT_FOUND)?;
        let role = found.members.get(&caller.who).copied().or(admin.then_some(ProjectRole::Viewer));
        require(role.ok_or(NOT_FOUND)? >= least, FORBIDDEN)
    }

    pub fn delete_project(&mut self, caller: Caller, ws: usize, project: usize) -> Verdict<()> {
        self.require_project(caller, ws, project, ProjectRole::Admin)?;
        self.projects[project].deleted = true;
        Ok(())
    }

    pub fn set_project_member(
        &mut self,
        caller: Caller,
        (ws, project): (usize, usize),
        member: Who,
        role: ProjectRole,
        successor: Option<Who>,
    ) -> Verdict<()> {
        let joins = caller.who == member && self.is_admin(member, ws) == Some(true);
        let least = if joins { ProjectRole::Viewer } else { ProjectRole::Admin };
        self.require_project(caller, ws, project, least)?;
        Self::require_changes_another(caller, member)?;
        Self::require_grant(caller, role == ProjectRole::Admin)?;
        require(self.is_admin(member, ws).is_some(), NOT_FOUND)?;
        if role != ProjectRole::Admin {
            self.keep_an_admin(caller, ws, project, member, successor)?;
        }
        self.projects[project].members.insert(member, role);
        Ok(())
    }

    pub fn remove_project_member(
        &mut self,
        caller: Caller,
        (ws, project): (usize, usize),
        member: Who,
        successor: Option<Who>,
    ) -> Verdict<()> {
        let least = if caller.who == member { ProjectRole::Viewer } else { ProjectRole::Admin };
        self.require_project(caller, ws, project, least)?;
        Self::require_changes_another(caller, member)?;
        require(self.projects[project].members.contains_key(&member), NOT_FOUND)?;
        self.keep_an_admin(caller, ws, project, member, successor)?;
        self.projects[project].members.remove(&member);
        Ok(())
    }

    /// Requires a signature, and refuses a service account that changes itself.
    fn require_changes_another(caller: Caller, member: Who) -> Verdict<()> {
        let is_itself = matches!(caller.who, Who::Account(_)) && caller.who == member;
        require(!caller.bearer && !is_itself, FORBIDDEN)
    }

    fn keep_an_admin(
        &mut self,
        caller: Caller,
        ws: usize,
        project: usize,
        leaving: Who,
        successor: Option<Who>,
    ) -> Verdict<()> {
        if self.is_led_only_by(project, leaving) {
            let successor = self.require_successor(caller, ws, leaving, successor)?;
            self.projects[project].members.insert(successor, ProjectRole::Admin);
        }
        Ok(())
    }

    /// Returns whether a project has no other enabled admin.
    pub(super) fn is_led_only_by(&self, project: usize, who: Who) -> bool {
        let leads = |who: &Who| self.projects[project].members.get(who) == Some(&ProjectRole::Admin);
        let mut others = self.projects[project].members.keys().filter(|&&other| other != who);
        leads(&who) && !others.any(|other| leads(other) && self.is_enabled(*other))
    }
}
