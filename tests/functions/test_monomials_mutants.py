"""What planted mistakes showed the other tests of monomials to miss."""

import pytest

from touchstone.functions.monomials import monomial_plan


@pytest.mark.parametrize("name", ["parents", "variables", "degrees", "exponents", "multinomials"])
def test_a_plan_without_table_refuses_every_table_at_once(name):
    plan = monomial_plan(55, 127, table=False)  # 10^47 rows: whoever builds one does not come back
    with pytest.raises(ValueError, match="table=False"):
        getattr(plan, name)
