import type { Static } from 'typebox';
import { UserFilter } from '../users/users.schemas.ts';
import { FORMATS } from './upload.entity.ts';

export const CSV = 'text/csv';
export const NDJSON = 'application/x-ndjson';
export const FORM = 'multipart/form-data';

const OnConflict = {
  type: 'string',
  enum: ['skip', 'update', 'fail'],
  default: 'skip',
  description:
    'what becomes of a row whose email another user has, perhaps by a row before it: `skip` leaves that user as they ' +
    'are; `update` gives them the name, the spelling of the email and the attributes of the row, and attributes that the ' +
    'row does not name stay; `fail` ends the import there',
  examples: ['update'],
} as const;

const DryRun = {
  type: 'boolean',
  default: false,
  description:
    'read, check and count all and write no user. Of two rows with one email the second is a conflict, up to a million ' +
    'different emails; one for somebody who would only be created counts as an update',
  examples: [true],
} as const;

export const ImportQuery = {
  type: 'object',
  required: ['onConflict', 'dryRun'], // each has a default
  properties: { onConflict: OnConflict, dryRun: DryRun },
  additionalProperties: false,
} as const;

/** What the task is given. */
export const ImportInput = {
  type: 'object',
  required: ['format', 'onConflict', 'dryRun'],
  properties: {
    format: { type: 'string', enum: FORMATS, description: 'of the file', examples: ['csv'] },
    onConflict: OnConflict,
    dryRun: DryRun,
  },
  additionalProperties: false,
  description: 'Made by `POST /users/import`, with the file; without one the task fails.',
  examples: [{ format: 'csv', onConflict: 'skip', dryRun: false }],
} as const;

export const ExportQuery = {
  type: 'object',
  required: ['format', 'raw'], // each has a default
  properties: {
    format: {
      type: 'string',
      enum: FORMATS,
      default: 'ndjson',
      description: '`ndjson`: a `User` on each line; `csv`: id, name, email, and the attributes as JSON',
      examples: ['csv'],
    },
    raw: {
      type: 'boolean',
      default: false,
      description:
        "of `csv`: every cell as it is. Without it, cells that a spreadsheet would run as a formula get a `'` before them",
      examples: [true],
    },
    ...UserFilter,
  },
  additionalProperties: false,
} as const;
export type ExportQuery = Static<typeof ExportQuery>;

/*
 * Files, which are read and written as they pass by: no schema looks into them, and they have no type, so that one that
 * is validated fits whatever stands for it.
 */

export const PeopleCsv = {
  $id: 'PeopleCsv',
  description:
    'CSV (RFC 4180) in UTF-8. The first record names the columns, in any order: `name` and `email`; `attributes`, a JSON ' +
    'object; `id`, `muster-line` and `muster-reason`, which are not used (all of these in any letter case). Every other ' +
    'column is an attribute of that name with the text of the cell, and none where the cell is empty.',
  examples: ['name,email,team\r\nAda Lovelace,ada@example.com,engines\r\n'],
} as const;

export const PeopleNdjson = {
  $id: 'PeopleNdjson',
  description:
    'One JSON object on each line, each as in `POST /users`. What else a `User` has (`id`, `version`, `createdAt`, ' +
    '`updatedAt`) is not used, nor are `muster-line` and `muster-reason`.',
  examples: ['{"name":"Ada Lovelace","email":"ada@example.com","attributes":{"team":"engines"}}\n'],
} as const;

export const PeopleForm = {
  $id: 'PeopleForm',
  description:
    'A form with one file, as a browser sends it, and nothing else. The file is read by its type or the end of its name ' +
    '(`.csv`, `.ndjson`, `.jsonl`).',
  examples: [{ file: 'name,email,team\r\nAda Lovelace,ada@example.com,engines\r\n' }],
} as const;

export const ExportedCsv = {
  $id: 'ExportedCsv',
  description:
    'CSV (RFC 4180) in UTF-8: id, name, email, and the attributes as JSON, each text in quotes. An import reads it.',
  examples: [
    'id,name,email,attributes\r\n1,"Ada Lovelace","ada@example.com","{""team"":""engines"",""desk"":12}"\r\n',
  ],
} as const;

export const ExportedNdjson = {
  $id: 'ExportedNdjson',
  description: 'A `User` on each line. An import reads it.',
  examples: [
    '{"id":1,"name":"Ada Lovelace","email":"ada@example.com","attributes":{"team":"engines"},"version":1,' +
      '"createdAt":"2026-01-15T09:30:00.000Z","updatedAt":"2026-01-15T09:30:00.000Z"}\n',
  ],
} as const;

export const RefusedCsv = {
  $id: 'RefusedCsv',
  description:
    'The columns that were sent, byte by byte, behind `muster-line` and `muster-reason`. A row longer than 256 KiB is left ' +
    'empty.',
  examples: ['muster-line,muster-reason,name,email\r\n3,"email is required",Ada Lovelace\r\n'],
} as const;

export const RefusedNdjson = {
  $id: 'RefusedNdjson',
  description:
    'The members that were sent, behind `muster-line` and `muster-reason`; a line that is no JSON object as the text ' +
    '`muster-row`, and one that is no UTF-8 as `muster-bytes` in base64.',
  examples: ['{"muster-line":3,"muster-reason":"email is required","name":"Ada Lovelace"}\n'],
} as const;
