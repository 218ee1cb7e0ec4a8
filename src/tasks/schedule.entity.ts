import { defineEntity, p } from '@mikro-orm/core';

/** When tasks of a kind are enqueued by the clock. `name` is given to those that are built in. */
const ScheduleSchema = defineEntity({
  name: 'Schedule',
  tableName: 'schedules',
  properties: {
    id: p.integer().primary(),
    name: p.text().unique('schedules_name_unique').nullable(),
    kind: p.text(),
    input: p.json<unknown>().columnType('json'),
    cron: p.text(),
    timeZone: p.text(),
    nextRunAt: p.datetime(3).index('schedules_next_run_at'),
    lastRunAt: p.datetime(3).nullable(),
    createdAt: p.datetime(3),
  },
});

export class Schedule extends ScheduleSchema.class {}
ScheduleSchema.setClass(Schedule);
