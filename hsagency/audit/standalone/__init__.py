"""The verifier that an evidence pack carries; `audit verify` applies the same rules."""
