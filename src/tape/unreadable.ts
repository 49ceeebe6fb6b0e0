import { errnoOf, reasonOf, TapeError } from './format.ts'

/** What the system says of a file that cannot be read, in words that say what to do. */
export function unreadable(name: string, error: unknown): TapeError {
  return new TapeError('tape_unreadable', `cannot read ${name}: ${reasonFor(name, error, READING)}`, error)
}

/** The same of a folder of tapes. */
export function unlistable(name: string, error: unknown): TapeError {
  return new TapeError('tape_unreadable', `cannot list ${name}: ${reasonFor(name, error, LISTING)}`, error)
}

/** And of a tape that is to be written. */
export function unwritable(name: string, error: unknown): TapeError {
  if (errnoOf(error) === 'EEXIST')
    return new TapeError('tape_exists', `${name} exists already: name another file, or replace it with --force`)
  return new TapeError('tape_unwritable', `cannot write ${name}: ${reasonFor(name, error, WRITING)}`, error)
}

type Reasons = Readonly<Record<string, string>>

function reasonFor(name: string, error: unknown, reasons: Reasons): string {
  const code = errnoOf(error) ?? ''
  // On a file system it is a path like any other, and may even be there.
  if (code === 'ENOENT' && /^[a-z][a-z\d+.-]+:\/\//i.test(name)) return 'it is a URL; name a tape, which is a file'
  return reasons[code] ?? reasonOf(error)
}

const ALL: Reasons = {
  EACCES: 'that is not allowed to you',
  EPERM: 'that is not allowed to you',
  ENOTDIR: 'what stands before the last / is no folder'
}

const READING: Reasons = {
  ...ALL,
  ENOENT: 'there is no such file',
  EISDIR: "it is a folder; name one of its tapes ('catflap tape ls FOLDER' lists them)"
}

const LISTING: Reasons = {
  ...ALL,
  ENOENT: 'there is no such folder',
  ENOTDIR: "it is no folder ('catflap tape show FILE' prints a tape)"
}

const WRITING: Reasons = { ...ALL, ENOENT: 'its folder does not exist', EISDIR: 'it is a folder; name a file' }
