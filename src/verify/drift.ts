/** How what a server offers has changed. */
export interface Drift {
  readonly changes: readonly DriftChange[]
  /** How many of them break clients that worked. */
  readonly breaking: number
}

export interface DriftChange {
  readonly what: 'tool' | 'prompt' | 'resource' | 'template'
  readonly name: string
  readonly change: 'added' | 'removed' | 'changed'
  /** Why clients that worked would fail; undefined where they would not. */
  readonly breaking?: string
  /** Where: `inputSchema.properties.path.type`; undefined where the whole was added or removed. */
  readonly path?: string
  /** One line, safe for a terminal. */
  readonly text: string
}
