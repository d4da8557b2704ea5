-- Until it is changed, the display name is the name, also if a node of an earlier release changes that.
UPDATE service_accounts SET display_name = NULL WHERE display_name = name;
