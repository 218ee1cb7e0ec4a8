export type DatabaseName = 'sqlite' | 'postgresql';
export interface Setting {
  database: DatabaseName;
  seed: number;
  /** How many rounds: 1 in the short form, more in the long one. A fault decides what a round is. */
  scale: number;
  log(line: string): void;
}
export interface Outcome {
  rounds: number;
  /** Figures to print, in words: {'acknowledged writes': 1914, …} */
  figures: Record<string, number | string>;
  /** What was found broken; empty when all invariants hold. */
  broken: string[];
  /** Goals of time and throughput that were missed: told, and no reason to fail, because a machine may be busy. */
  missed?: string[];
}
export interface Fault {
  name: string;
  /** One line for the table: what is done. */
  what: string;
  databases: readonly DatabaseName[];
  run(setting: Setting): Promise<Outcome>;
}
