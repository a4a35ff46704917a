"""The paper's tables: computed, measured, drawn, printed."""
