import { defineEntity, p } from '@mikro-orm/core';

export const FORMATS = ['csv', 'ndjson'] as const;
export type Format = (typeof FORMATS)[number];

/**
 * A file that was sent, or is being sent as long as there is no task for it. It stays as long as its task, for what it
 * says of the rows that were refused; its blocks go when the task has ended.
 */
const UploadSchema = defineEntity({
  name: 'Upload',
  tableName: 'uploads',
  indexes: [{ name: 'uploads_touched_at', properties: ['touchedAt'] }],
  properties: {
    id: p.integer().primary(),
    format: p.text().$type<Format>(),
    bytes: p.bigint('number').ignoreSchemaChanges('type'), // SQLite's integer holds 64 bits
    /** The first record of a CSV, byte by byte. */
    header: p.blob().nullable(),
    taskId: p.integer().nullable().unique('uploads_task_id_unique'),
    /** When the last block came, or the file was whole. */
    touchedAt: p.datetime(3),
    createdAt: p.datetime(3),
  },
});

export class Upload extends UploadSchema.class {}
UploadSchema.setClass(Upload);

/** So many bytes of a file, fewer in the last block only: where a byte is follows from its place. */
export const BLOCK_BYTES = 262_144;

const UploadBlockSchema = defineEntity({
  name: 'UploadBlock',
  tableName: 'upload_blocks',
  properties: {
    uploadId: p.integer().primary(),
    n: p.integer().primary(),
    bytes: p.blob(),
  },
});

export class UploadBlock extends UploadBlockSchema.class {}
UploadBlockSchema.setClass(UploadBlock);

/** A row that an import has refused, byte by byte as it was sent; empty when it was too long to be kept. */
const ImportErrorSchema = defineEntity({
  name: 'ImportError',
  tableName: 'import_errors',
  properties: {
    taskId: p.integer().primary(),
    line: p.integer().primary(),
    reason: p.text(),
    row: p.blob(),
  },
});

export class ImportError extends ImportErrorSchema.class {}
ImportErrorSchema.setClass(ImportError);
