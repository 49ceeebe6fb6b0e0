import { testCells } from './cells.ts'

testCells('streamable-http')
