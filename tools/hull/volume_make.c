/* SPDX-License-Identifier: Apache-2.0 */
/* hull volume format, info, addkey, rmkey, backup-header, restore-header. */
#include <errno.h>
#include <string.h>
#include "lib/scope.h"
#include "tools/hull/volume.h"

int volume_format(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct volume_options o;
	struct luks_format how;
	struct luks_place at;
	struct secret key;
	int rc;

	if (!volume_options_parse(c, argc, argv, 1, &o))
		return HULL_TROUBLE;
	secret_harden();
	at = volume_place(&o, o.argument[0]);
	how = (struct luks_format){ .version = o.luks1 ? 1 : 2, .sector = o.sector ? (uint32_t)o.sector : o.luks1 ? 512 : 4096,
		.size = o.size, .cost = volume_cost(&o, o.key), .force = o.force };
	if (o.sector > UINT32_MAX)
		how.sector = 0;
	rc = volume_key_read(&o, o.key, true, &key, &err);
	if (!rc)
		rc = luks_format(&at, &how, &key, &err);
	secret_destroy(&key);
	return rc ? volume_fail(&err) : HULL_OK;
}

static void print_slot(const struct luks_info *info, unsigned i)
{
	char memory[32];

	printf("slot %-9u%s", i, info->slot[i].kdf);
	if (info->slot[i].memory_kib)
		printf(", %s, %u passes, %u threads", volume_size_text((uint64_t)info->slot[i].memory_kib << 10, memory),
			info->slot[i].iterations, info->slot[i].threads);
	else
		printf(", %u rounds", info->slot[i].iterations);
	puts(info->slot[i].fresh ? ", of the new volume key" : "");
}

static void print_info(const struct luks_info *info)
{
	char text[32];

	printf("version       LUKS%u\nUUID          %s\n", info->version, info->uuid);
	if (*info->label)
		printf("label         %s\n", info->label);
	printf("cipher        %s, %u bits of key, sectors of %u bytes\n", info->cipher, info->key_bits, info->sector);
	printf("data          from byte %llu, %s\n", (unsigned long long)info->data_off,
		info->data_len ? volume_size_text(info->data_len, text) : "to the end of the volume");
	printf("header        %s\n", info->primary_bad ? "the first copy is damaged; the second one is in use" :
		info->secondary_bad ? "the second copy is damaged" : info->version == 2 ? "both copies are good" : "good");
	if (info->rotating)
		printf("rotation      unfinished: %s under the new key; go on with `hull volume rotate`\n",
			volume_size_text(info->rotated, text));
	if (info->importing) {
		printf("import        unfinished: %s", volume_size_text(info->imported, text));
		printf(" of %s; run it again\n", volume_size_text(info->import_size, text));
	}
	for (unsigned i = 0; i < array_len(info->slot); i++)
		if (info->slot[i].used)
			print_slot(info, i);
}

static json_t *slots_json(const struct luks_info *info)
{
	json_t *slots = json_array();

	for (unsigned i = 0; i < array_len(info->slot); i++)
		if (info->slot[i].used)
			json_array_append_new(slots, json_pack("{s:i, s:s, s:I, s:I, s:I, s:b}", "slot", i, "kdf", info->slot[i].kdf,
				"memory_kib", (json_int_t)info->slot[i].memory_kib, "iterations", (json_int_t)info->slot[i].iterations,
				"threads", (json_int_t)info->slot[i].threads, "fresh", info->slot[i].fresh));
	return slots;
}

static int print_json(const struct luks_info *info)
{
	json_t *out = json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:b, s:b, s:o}", "version", info->version, "uuid", info->uuid,
		"label", info->label, "cipher", info->cipher, "key_bits", info->key_bits, "sector", info->sector,
		"data_offset", (json_int_t)info->data_off, "data_length", (json_int_t)info->data_len,
		"primary_bad", info->primary_bad, "secondary_bad", info->secondary_bad, "slots", slots_json(info));

	if (out && info->rotating)
		json_object_set_new(out, "rotated", json_integer((json_int_t)info->rotated));
	if (out && info->importing)
		json_object_set_new(out, "import", json_pack("{s:I, s:I}", "done", (json_int_t)info->imported, "size",
			(json_int_t)info->import_size));
	if (!out || json_dumpf(out, stdout, JSON_INDENT(2)))
		return command_fail("volume info: the header's texts are no UTF-8");
	putchar('\n');
	json_decref(out);
	return HULL_OK;
}

int volume_info(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct volume_options o;
	struct luks_info info;
	struct luks_place at;

	if (!volume_options_parse(c, argc, argv, 1, &o))
		return HULL_TROUBLE;
	at = volume_place(&o, o.argument[0]);
	if (luks_info(&at, &info, &err))
		return volume_fail(&err);
	if (o.json)
		return print_json(&info);
	print_info(&info);
	return HULL_OK;
}

int volume_add_key(const struct command *c, int argc, char **argv)
{
	struct secret key = { 0 }, fresh = { 0 };
	struct err err = { .text = "" };
	struct volume_options o;
	struct luks_place at;
	struct luks_cost cost;
	int rc, slot = -1;

	if (!volume_options_parse(c, argc, argv, 1, &o))
		return HULL_TROUBLE;
	if (!o.new_key)
		return command_fail("%s: needs a --new-key", c->words);
	secret_harden();
	at = volume_place(&o, o.argument[0]);
	cost = volume_cost(&o, o.new_key);
	rc = volume_key_read(&o, o.key, false, &key, &err);
	if (!rc)
		rc = volume_key_read(&o, o.new_key, true, &fresh, &err);
	if (!rc)
		rc = luks_add_key(&at, &key, &fresh, &cost, &slot, &err);
	secret_destroy(&key);
	secret_destroy(&fresh);
	if (rc)
		return volume_fail(&err);
	printf("slot %d\n", slot);
	return HULL_OK;
}

int volume_remove_key(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct volume_options o;
	struct luks_place at;
	char *end;
	long slot;

	if (!volume_options_parse(c, argc, argv, 2, &o))
		return HULL_TROUBLE;
	slot = strtol(o.argument[1], &end, 10);
	if (end == o.argument[1] || *end || slot < 0 || slot > 31)
		return command_fail("%s: \"%s\" is no key slot; `hull volume info` lists them", c->words, o.argument[1]);
	at = volume_place(&o, o.argument[0]);
	return luks_remove_key(&at, (int)slot, &err) ? volume_fail(&err) : HULL_OK;
}

int volume_backup(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct volume_options o;
	struct luks_place at;

	if (!volume_options_parse(c, argc, argv, 2, &o))
		return HULL_TROUBLE;
	at = volume_place(&o, o.argument[0]);
	return luks_backup_header(&at, o.argument[1], &err) ? volume_fail(&err) : HULL_OK;
}

int volume_restore(const struct command *c, int argc, char **argv)
{
	struct err err = { .text = "" };
	struct volume_options o;
	struct luks_place at;

	if (!volume_options_parse(c, argc, argv, 2, &o))
		return HULL_TROUBLE;
	at = volume_place(&o, o.argument[0]);
	return luks_restore_header(&at, o.argument[1], &err) ? volume_fail(&err) : HULL_OK;
}
