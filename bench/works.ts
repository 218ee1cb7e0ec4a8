/** The works that are measured, in the order in which they run: what reads comes before what writes. */
export const WORKS = {
  lookup: { title: 'Look-up by id', ratedBeside: true },
  list: { title: 'List of 100', ratedBeside: true },
  'list-last': { title: 'List of 100, last page', ratedBeside: false },
  mixed: { title: 'Mixed 90/10', ratedBeside: true },
  patch: { title: 'Patch', ratedBeside: true },
  create: { title: 'Create', ratedBeside: true },
} as const;

export type WorkName = keyof typeof WORKS;

export const WORK_NAMES = Object.keys(WORKS) as WorkName[];
