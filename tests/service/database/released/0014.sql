BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0014');
CREATE TABLE api_keys (
	id TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	label TEXT NOT NULL, 
	user_id TEXT, 
	create_time DATETIME NOT NULL, 
	last_use_time DATETIME, 
	revoke_time DATETIME, 
	CONSTRAINT pk_api_keys PRIMARY KEY (id), 
	CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_api_keys_sha256 UNIQUE (sha256)
);
INSERT INTO "api_keys" VALUES('u7xvckhqo571','a5c24ae9a4b81213dcfc10f42379a1afb03c379c2e0e9053926332a5fb2dc885','phone','ann@example.com','2026-11-24 00:43:35.123642',NULL,NULL);
CREATE TABLE audit_events (
	number INTEGER NOT NULL, 
	time DATETIME NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	resource TEXT NOT NULL, 
	details JSON NOT NULL, 
	CONSTRAINT pk_audit_events PRIMARY KEY (number)
);
INSERT INTO "audit_events" VALUES(1,'2026-11-30 15:45:10.287426','ann@example.com','CreateTunedModel','tunedModels/numbers','{"base_model": "tiny", "examples": 4}');
CREATE TABLE authorization_codes (
	sha256 TEXT NOT NULL, 
	family TEXT NOT NULL, 
	client_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	redirect_uri TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	code_challenge TEXT NOT NULL, 
	expire_time DATETIME NOT NULL, 
	use_time DATETIME, 
	CONSTRAINT pk_authorization_codes PRIMARY KEY (sha256), 
	CONSTRAINT fk_authorization_codes_client_id FOREIGN KEY(client_id) REFERENCES oauth_clients (id) ON DELETE CASCADE, 
	CONSTRAINT fk_authorization_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE compatibility (
	oldest_program TEXT NOT NULL, 
	CONSTRAINT pk_compatibility PRIMARY KEY (oldest_program)
);
INSERT INTO "compatibility" VALUES('0011');
CREATE TABLE device_codes (
	sha256 TEXT NOT NULL, 
	user_code_sha256 TEXT NOT NULL, 
	family TEXT NOT NULL, 
	client_id TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	expire_time DATETIME NOT NULL, 
	interval_seconds INTEGER NOT NULL, 
	poll_time DATETIME, 
	user_id TEXT, 
	is_approved BOOLEAN, 
	use_time DATETIME, 
	CONSTRAINT pk_device_codes PRIMARY KEY (sha256), 
	CONSTRAINT fk_device_codes_client_id FOREIGN KEY(client_id) REFERENCES oauth_clients (id) ON DELETE CASCADE, 
	CONSTRAINT fk_device_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_device_codes_user_code_sha256 UNIQUE (user_code_sha256)
);
CREATE TABLE group_members (
	group_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	CONSTRAINT pk_group_members PRIMARY KEY (group_id, user_id), 
	CONSTRAINT fk_group_members_group_id FOREIGN KEY(group_id) REFERENCES groups (id) ON DELETE CASCADE, 
	CONSTRAINT fk_group_members_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "group_members" VALUES('team@example.com','ann@example.com');
CREATE TABLE groups (
	id TEXT NOT NULL, 
	create_time DATETIME NOT NULL, 
	CONSTRAINT pk_groups PRIMARY KEY (id)
);
INSERT INTO "groups" VALUES('team@example.com','2026-11-24 00:43:35.100074');
CREATE TABLE oauth_clients (
	id TEXT NOT NULL, 
	secret_sha256 TEXT, 
	name TEXT NOT NULL, 
	redirect_uris JSON NOT NULL, 
	grant_types JSON NOT NULL, 
	access_seconds INTEGER NOT NULL, 
	user_id TEXT, 
	create_time DATETIME NOT NULL, 
	revoke_time DATETIME, 
	CONSTRAINT pk_oauth_clients PRIMARY KEY (id), 
	CONSTRAINT fk_oauth_clients_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "oauth_clients" VALUES('jpv3q4k053fm','dde3d9e6bb18fa25ff0694f4ba93c89f479dfebd099946aa99ba56eacc3f504b','tunery login','[]','["refresh_token"]',3600,'ann@example.com','2026-11-24 00:43:35.142815',NULL);
CREATE TABLE permissions (
	id TEXT NOT NULL, 
	tuned_model_id TEXT NOT NULL, 
	grantee_type TEXT NOT NULL, 
	grantee TEXT NOT NULL, 
	role TEXT NOT NULL, 
	create_time DATETIME NOT NULL, 
	CONSTRAINT pk_permissions PRIMARY KEY (id), 
	CONSTRAINT ck_permissions_grantee_type_is_known CHECK (grantee_type IN ('USER', 'GROUP', 'EVERYONE')), 
	CONSTRAINT ck_permissions_role_is_known CHECK (role IN ('OWNER', 'WRITER', 'READER')), 
	CONSTRAINT fk_permissions_tuned_model_id FOREIGN KEY(tuned_model_id) REFERENCES tuned_models (id) ON DELETE CASCADE, 
	CONSTRAINT uq_permissions_tuned_model_id_grantee_type_grantee UNIQUE (tuned_model_id, grantee_type, grantee)
);
INSERT INTO "permissions" VALUES('l9d1oz7skbda','tuned','USER','local','OWNER','2026-11-22 11:24:32.206284');
INSERT INTO "permissions" VALUES('g6i552xemoun','waiting','USER','local','OWNER','2026-11-22 11:24:32.282680');
CREATE TABLE prompts (
	id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	display_name TEXT NOT NULL, 
	document JSON NOT NULL, 
	create_time DATETIME NOT NULL, 
	update_time DATETIME NOT NULL, 
	CONSTRAINT pk_prompts PRIMARY KEY (id), 
	CONSTRAINT fk_prompts_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "prompts" VALUES('p1','local','Numbers','{"preamble": "Say the next number."}','2026-11-24 00:43:35.123642','2026-11-24 00:43:35.123642');
CREATE TABLE reports (
	tuned_model_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	document JSON NOT NULL, 
	create_time DATETIME NOT NULL, 
	CONSTRAINT pk_reports PRIMARY KEY (tuned_model_id, kind), 
	CONSTRAINT fk_reports_tuned_model_id FOREIGN KEY(tuned_model_id) REFERENCES tuned_models (id) ON DELETE CASCADE
);
INSERT INTO "reports" VALUES('tuned','EVALUATION','{}','2026-11-24 00:43:35.123642');
CREATE TABLE server_deaths (
	task_id TEXT NOT NULL, 
	machine_start TEXT, 
	at_step INTEGER, 
	deaths INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_server_deaths PRIMARY KEY (task_id), 
	CONSTRAINT fk_server_deaths_task_id FOREIGN KEY(task_id) REFERENCES tuning_tasks (id) ON DELETE CASCADE
);
CREATE TABLE service_account_keys (
	id TEXT NOT NULL, 
	address TEXT NOT NULL, 
	public_key TEXT NOT NULL, 
	label TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	create_time DATETIME NOT NULL, 
	last_use_time DATETIME, 
	revoke_time DATETIME, 
	CONSTRAINT pk_service_account_keys PRIMARY KEY (id), 
	CONSTRAINT fk_service_account_keys_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE sessions (
	sha256 TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	create_time DATETIME NOT NULL, 
	expire_time DATETIME NOT NULL, 
	last_use_time DATETIME NOT NULL, 
	revoke_time DATETIME, 
	CONSTRAINT pk_sessions PRIMARY KEY (sha256), 
	CONSTRAINT fk_sessions_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "sessions" VALUES('4b1e496b590c82048cc23810bc5c39373525718aa81f8a9cab8dd9d2e5f3be6d','ann@example.com','2026-11-24 00:43:35.163365','2026-12-24 00:43:35.163365','2026-11-24 00:43:35.163365',NULL);
CREATE TABLE setup_links (
	sha256 TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	expire_time DATETIME NOT NULL, 
	use_time DATETIME, 
	CONSTRAINT pk_setup_links PRIMARY KEY (sha256), 
	CONSTRAINT fk_setup_links_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "setup_links" VALUES('df849c5383dac8dd994adb9e5ccb148e00bee7e4a0d08e73f7cd3897acd5b47d','local','2026-11-24 00:58:35.171290',NULL);
CREATE TABLE tokens (
	id TEXT NOT NULL, 
	sha256 TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	family TEXT NOT NULL, 
	client_id TEXT, 
	user_id TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	label TEXT NOT NULL, 
	create_time DATETIME NOT NULL, 
	expire_time DATETIME NOT NULL, 
	last_use_time DATETIME, 
	replace_time DATETIME, 
	revoke_time DATETIME, 
	CONSTRAINT pk_tokens PRIMARY KEY (id), 
	CONSTRAINT ck_tokens_kind_is_known CHECK (kind IN ('ACCESS', 'REFRESH', 'PLAIN')), 
	CONSTRAINT fk_tokens_client_id FOREIGN KEY(client_id) REFERENCES oauth_clients (id) ON DELETE CASCADE, 
	CONSTRAINT fk_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE, 
	CONSTRAINT uq_tokens_sha256 UNIQUE (sha256)
);
INSERT INTO "tokens" VALUES('rv2zkpjiir8w','9eaeac444903393074df33e522983c471fd84f02d9c64604e96f75e64eba9ff3','ACCESS','hu9dxdpzu7hs','jpv3q4k053fm','ann@example.com','https://www.googleapis.com/auth/generative-language.tuning','','2026-11-24 00:43:35.142877','2026-11-24 01:43:35.142877',NULL,NULL,NULL);
INSERT INTO "tokens" VALUES('s14vvdye8gzk','e7802fc91c59383984afc1cbf1cba8cecdab3bf2f646ea358d0b04add9927b5c','REFRESH','hu9dxdpzu7hs','jpv3q4k053fm','ann@example.com','https://www.googleapis.com/auth/generative-language.tuning','','2026-11-24 00:43:35.142877','2027-02-22 00:43:35.142861',NULL,NULL,NULL);
CREATE TABLE tuned_models (
	id TEXT NOT NULL, 
	display_name TEXT NOT NULL, 
	description TEXT NOT NULL, 
	base_model TEXT NOT NULL, 
	base_digest TEXT NOT NULL, 
	state TEXT NOT NULL, 
	create_time DATETIME NOT NULL, 
	update_time DATETIME NOT NULL, temperature FLOAT DEFAULT '0' NOT NULL, top_p FLOAT DEFAULT '1' NOT NULL, top_k INTEGER, reader_project_numbers JSON, source_tuned_model TEXT, base_name_asked TEXT, examples_shared BOOLEAN DEFAULT 0 NOT NULL, chosen_epoch INTEGER, fold_count INTEGER DEFAULT '0' NOT NULL, tuned_again_from TEXT, settings_reason TEXT, 
	CONSTRAINT pk_tuned_models PRIMARY KEY (id), 
	CONSTRAINT ck_tuned_models_state_is_known CHECK (state IN ('CREATING', 'ACTIVE', 'FAILED'))
);
INSERT INTO "tuned_models" VALUES('tuned','Next number','','smollm2-135m-instruct','base-digest','ACTIVE','2026-11-22 11:24:32.206284','2026-11-22 11:24:32.277984',0.0,1.0,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL);
INSERT INTO "tuned_models" VALUES('waiting','Next number','','smollm2-135m-instruct','base-digest','CREATING','2026-11-22 11:24:32.282680','2026-11-22 11:24:32.282680',0.0,1.0,NULL,NULL,NULL,NULL,0,NULL,0,NULL,NULL);
CREATE TABLE tuning_examples (
	task_id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	is_held_out BOOLEAN NOT NULL, 
	text_input TEXT NOT NULL, 
	output TEXT NOT NULL, 
	CONSTRAINT pk_tuning_examples PRIMARY KEY (task_id, position), 
	CONSTRAINT fk_tuning_examples_task_id FOREIGN KEY(task_id) REFERENCES tuning_tasks (id) ON DELETE CASCADE
);
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',0,0,'0','1');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',1,0,'1','2');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',2,0,'2','3');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',3,0,'3','4');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',4,0,'4','5');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',5,0,'5','6');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',6,0,'6','7');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',7,0,'7','8');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',8,0,'8','9');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',9,0,'9','10');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',10,0,'10','11');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',11,0,'11','12');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',12,0,'12','13');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',13,0,'13','14');
INSERT INTO "tuning_examples" VALUES('629fa505-5279-402d-9168-8ec4108dea01',14,0,'14','15');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',0,0,'0','1');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',1,0,'1','2');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',2,0,'2','3');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',3,0,'3','4');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',4,0,'4','5');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',5,0,'5','6');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',6,0,'6','7');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',7,0,'7','8');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',8,0,'8','9');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',9,0,'9','10');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',10,0,'10','11');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',11,0,'11','12');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',12,0,'12','13');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',13,0,'13','14');
INSERT INTO "tuning_examples" VALUES('34480833-fb5a-402d-940b-16509200b81a',14,0,'14','15');
CREATE TABLE tuning_tasks (
	number INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	tuned_model_id TEXT NOT NULL, 
	operation_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	phase TEXT NOT NULL, 
	fencing_epoch INTEGER DEFAULT '0' NOT NULL, 
	heartbeat INTEGER DEFAULT '0' NOT NULL, 
	worker TEXT, 
	lease_until DATETIME, 
	not_before DATETIME, 
	cancel_requested BOOLEAN DEFAULT 0 NOT NULL, 
	losses INTEGER DEFAULT '0' NOT NULL, 
	lost_at_step INTEGER, 
	losses_at_step INTEGER DEFAULT '0' NOT NULL, 
	total_steps INTEGER NOT NULL, 
	completed_steps INTEGER DEFAULT '0' NOT NULL, 
	checkpoint_step INTEGER DEFAULT '0' NOT NULL, 
	micro_batch_size INTEGER, 
	request_sha256 TEXT NOT NULL, 
	idempotency_key TEXT, 
	reply_sent BOOLEAN DEFAULT 0 NOT NULL, 
	artifact_epoch INTEGER, 
	manifest_sha256 TEXT, 
	error_code INTEGER, 
	error_message TEXT, 
	create_time DATETIME NOT NULL, 
	start_time DATETIME, 
	complete_time DATETIME, 
	epoch_count INTEGER NOT NULL, 
	batch_size INTEGER NOT NULL, 
	learning_rate FLOAT NOT NULL, 
	seed BIGINT NOT NULL, 
	data_rows INTEGER NOT NULL, 
	data_sha256 TEXT NOT NULL, 
	data_source TEXT NOT NULL, 
	held_out_rows INTEGER NOT NULL, 
	epoch_losses JSON, 
	advice JSON, 
	settings JSON, 
	versions JSON, 
	snapshots BLOB NOT NULL, 
	CONSTRAINT pk_tuning_tasks PRIMARY KEY (number), 
	CONSTRAINT ck_tuning_tasks_phase_is_known CHECK (phase IN ('QUEUED', 'PREPARING', 'RUNNING', 'PUBLISHING', 'SUCCEEDED', 'FAILED', 'CANCELLED')), 
	CONSTRAINT fk_tuning_tasks_tuned_model_id FOREIGN KEY(tuned_model_id) REFERENCES tuned_models (id) ON DELETE CASCADE, 
	CONSTRAINT uq_tuning_tasks_id UNIQUE (id), 
	CONSTRAINT uq_tuning_tasks_tuned_model_id UNIQUE (tuned_model_id), 
	CONSTRAINT uq_tuning_tasks_operation_id UNIQUE (operation_id), 
	CONSTRAINT uq_tuning_tasks_user_id_idempotency_key UNIQUE (user_id, idempotency_key)
);
INSERT INTO "tuning_tasks" VALUES(1,'629fa505-5279-402d-9168-8ec4108dea01','tuned','cgwuxvwcw8si','local','SUCCEEDED',1,2,NULL,NULL,NULL,0,0,NULL,0,19,19,0,NULL,'ef08982cb7596f6baea83d5338666d86f1fe098ea4d9ebb336f418f64a656d8a',NULL,0,1,'0f4234a75b558385b81d80af41a1d8eb33973862429247e7d12e56b034309c09',NULL,NULL,'2026-11-22 11:24:32.206284','2026-11-22 11:24:32.220597','2026-11-22 11:24:32.274578',5,4,0.001,0,15,'data-digest','numbers.csv',0,NULL,NULL,NULL,NULL,X'01000000000000009A999999999909401D73AB69CD55DA4102000000000000009A9999999999F93F1D73EB69CD55DA410300000000000000111111111111F13F1D732B6ACD55DA4104000000010000009A9999999999E93F1D736B6ACD55DA4105000000010000007B14AE47E17AE43F1D73AB6ACD55DA410600000001000000111111111111E13F1D73EB6ACD55DA4107000000010000001ED4411DD441DD3F1D732B6BCD55DA4108000000020000009A9999999999D93F1D736B6BCD55DA410900000002000000176CC1166CC1D63F1D73AB6BCD55DA410A000000020000007B14AE47E17AD43F1D73EB6BCD55DA410B000000020000009F12E429419ED23F1D732B6CCD55DA410C00000003000000111111111111D13F1D736B6CCD55DA410D0000000300000020F8811FF881CF3F1D73AB6CCD55DA410E000000030000001ED4411DD441CD3F1D73EB6CCD55DA410F000000040000004F1BE8B4814ECB3F1D732B6DCD55DA4110000000040000009A9999999999C93F1D736B6DCD55DA411100000004000000181818181818C83F1D73AB6DCD55DA411200000004000000176CC1166CC1C63F1D73EB6DCD55DA411300000005000000ED588130D28EC53F1D732B6ECD55DA41');
INSERT INTO "tuning_tasks" VALUES(2,'34480833-fb5a-402d-940b-16509200b81a','waiting','e43c1hgty8v4','local','QUEUED',0,0,NULL,NULL,NULL,0,0,NULL,0,19,0,0,NULL,'3d148a2cbde20b18ff4d2c1a00eb7eb6ce2fc9c4e0e222ac3fd769633aa2b150',NULL,0,NULL,NULL,NULL,NULL,'2026-11-22 11:24:32.282680',NULL,NULL,5,4,0.001,0,15,'data-digest','numbers.csv',0,NULL,NULL,NULL,NULL,X'');
CREATE TABLE users (
	id TEXT NOT NULL, 
	password_hash TEXT, 
	is_admin BOOLEAN DEFAULT 0 NOT NULL, 
	is_disabled BOOLEAN DEFAULT 0 NOT NULL, 
	create_time DATETIME NOT NULL, 
	CONSTRAINT pk_users PRIMARY KEY (id)
);
INSERT INTO "users" VALUES('local',NULL,1,0,'2026-11-24 00:43:34.953310');
INSERT INTO "users" VALUES('ann@example.com','$argon2id$v=19$m=8,t=1,p=1$4bl+FBT3Rcx+WoSlKxC1/A$crqtLHCpSXEPGPkTBNAP+xI4Yg9peIS+IlyB0ZB3vIE',0,0,'2026-11-24 00:43:35.074592');
CREATE INDEX ix_tuning_tasks_phase_number ON tuning_tasks (phase, number);
CREATE INDEX ix_tuning_tasks_request_sha256 ON tuning_tasks (request_sha256);
CREATE INDEX ix_group_members_user_id ON group_members (user_id);
CREATE INDEX ix_tokens_family ON tokens (family);
CREATE INDEX ix_tokens_user_id ON tokens (user_id);
CREATE INDEX ix_prompts_user_id ON prompts (user_id);
CREATE INDEX ix_tuning_tasks_phase_user_id_number ON tuning_tasks (phase, user_id, number);
CREATE INDEX ix_tuning_tasks_phase_start_time ON tuning_tasks (phase, start_time);
CREATE INDEX ix_tuning_tasks_user_id_start_time ON tuning_tasks (user_id, start_time);
CREATE INDEX ix_audit_events_actor_number ON audit_events (actor, number);
CREATE INDEX ix_audit_events_resource_number ON audit_events (resource, number);
CREATE INDEX ix_permissions_grantee_type_grantee_tuned_model_id ON permissions (grantee_type, grantee, tuned_model_id);
CREATE INDEX ix_tuned_models_display_name ON tuned_models (display_name);
CREATE INDEX ix_tuning_tasks_phase_complete_time ON tuning_tasks (phase, complete_time);
COMMIT;
