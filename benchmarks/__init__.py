"""How fast is lab_utils_mt, beside what else a lab could take?"""
